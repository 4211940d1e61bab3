//! `write-capture BYTES RATE`: a pcap file of about that size on standard output: so many SYNs a second from forged sources,
//! their SYN-ACKs, and thirty connections a second that are served.

use std::io::{BufWriter, Write};

use anyhow::Context;
use vpcwatch_tests::packets::{Exchange, Pcap, client, each_second, pcap, together};

/// Of a pcap file.
const HEADER: usize = 24;

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut number =
        || numbers.next().context("usage: write-capture BYTES RATE")?.context("a number, please");
    let (bytes, rate) = (number()?, u32::try_from(number()?)?);
    let mut output = BufWriter::new(std::io::stdout().lock());
    let mut written = 0;
    for second in 0.. {
        let forged = |number: u32, at| {
            let source = client(number.wrapping_add(u32::try_from(second).unwrap_or(0).wrapping_mul(7919)));
            Exchange::with(source, at).unanswered()
        };
        let served = |number, at| Exchange::with(client(0x00ff_0000 + number), at).served();
        let packets =
            [each_second(rate, second..second + 1, forged), each_second(30, second..second + 1, served)];
        let file = pcap(&together(&packets), Pcap::default())?;
        let part = if second == 0 { &file[..] } else { file.get(HEADER..).unwrap_or_default() };
        output.write_all(part)?;
        written += part.len() as u64;
        if written >= bytes {
            break;
        }
    }
    Ok(output.flush()?)
}
