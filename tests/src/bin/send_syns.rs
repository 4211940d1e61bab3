//! Sends TCP segments from made-up addresses of the range for benchmarks, for `tests/load/syn_capture.sh`.
//!   send-syns INTERFACE TO-MAC TO-ADDRESS syn|ack RATE SECONDS      RATE 0: as fast as it can
//! Prints how many it sent, how many that were a second, and the nanoseconds of CPU that each took. Over a virtual cable the
//! other side's receiving is done, and counted, in the sender's time; that figure does not mind a busy machine.
#![expect(clippy::print_stdout, reason = "a program's answer to the script that started it")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use pnet::datalink::{self, Channel, Config};
use pnet::packet::tcp::TcpFlags;
use vpcwatch_tests::frames::Segment;

/// Frames made beforehand, each from another address.
const FRAMES: u16 = 4096;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, mac, to, flags, rate, seconds] = arguments.as_slice() else { bail!("six arguments") };
    let flags = match flags.as_str() {
        "syn" => TcpFlags::SYN,
        "ack" => TcpFlags::ACK,
        other => bail!("{other} is neither syn nor ack"),
    };
    let (to_mac, to): (datalink::MacAddr, IpAddr) = (mac.parse().context("TO-MAC")?, to.parse()?);
    let (rate, length): (u32, Duration) = (rate.parse()?, Duration::from_secs(seconds.parse()?));
    let interface = datalink::interfaces().into_iter().find(|interface| interface.name == *name);
    let interface = interface.context("no such interface")?;
    let from_mac = interface.mac.context("no address")?;
    let frame = |n: u16| {
        let [high, low] = n.to_be_bytes();
        let from = (IpAddr::from([198, 18, high, low]), 1024 + n);
        let sequence = u32::from(n) * 65_537;
        Segment { from, to: (to, 80), flags, sequence, acknowledgement: 0 }.frame(from_mac, to_mac)
    };
    let frames: Vec<_> = (0..FRAMES).map(frame).collect::<Option<_>>().context("IPv4 only")?;

    let config = Config { promiscuous: false, ..Config::default() };
    let Channel::Ethernet(mut sender, _) = datalink::channel(&interface, config)? else {
        bail!("not an Ethernet channel");
    };
    let (begun, cpu_before) = (Instant::now(), cpu_nanoseconds()?);
    let mut sent = 0u32;
    for frame in frames.iter().cycle() {
        if sent.is_multiple_of(64) {
            if begun.elapsed() >= length {
                break;
            }
            if let Some(due) = (Duration::from_secs(1) * sent).checked_div(rate) {
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
        }
        sender.send_to(frame, None).context("no room to send")??;
        sent += 1;
    }
    let cpu = (cpu_nanoseconds()? - cpu_before) / u64::from(sent.max(1));
    println!("{sent} {:.0} {cpu}", f64::from(sent) / begun.elapsed().as_secs_f64());
    Ok(())
}

/// CPU time of this thread so far, as the scheduler counts it.
fn cpu_nanoseconds() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().context("no CPU time")?.parse()?)
}
