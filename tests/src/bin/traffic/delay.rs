//! A long way between two interfaces: each frame is handed on after a time. For kernels without `netem`.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use pnet::datalink::{Channel, Config, DataLinkReceiver, DataLinkSender, interfaces};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::MutableIpv4Packet;
use pnet::packet::tcp::{self, MutableTcpPacket};

const ETHERNET: usize = 14;
/// Frames are looked for at least so often.
const PACE: Duration = Duration::from_millis(1);

#[derive(Debug, Args)]
pub(super) struct Delay {
    /// Milliseconds each way
    #[arg(long)]
    ms: u64,
    /// One side
    #[arg(long)]
    one: String,
    /// The other
    #[arg(long)]
    other: String,
}

impl Delay {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (one_sender, one_receiver) = open(&self.one)?;
        let (other_sender, other_receiver) = open(&self.other)?;
        let delay = Duration::from_millis(self.ms);
        println!("ready");
        std::thread::scope(|scope| {
            let there = scope.spawn(|| carry(one_receiver, other_sender, delay));
            let back = scope.spawn(|| carry(other_receiver, one_sender, delay));
            for way in [there, back] {
                way.join().map_err(|_| anyhow::anyhow!("a way ended"))??;
            }
            Ok(())
        })
    }
}

fn open(name: &str) -> anyhow::Result<(Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>)> {
    let interface =
        interfaces().into_iter().find(|interface| interface.name == name).context("no interface")?;
    let config = Config { read_buffer_size: 65_536, promiscuous: true, ..Config::default() };
    match pnet::datalink::channel(&interface, config)? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => bail!("not an Ethernet channel"),
    }
}

/// One way: frames that came in go out again, later.
fn carry(
    mut from: Box<dyn DataLinkReceiver>,
    mut to: Box<dyn DataLinkSender>,
    delay: Duration,
) -> anyhow::Result<()> {
    let (put, take) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || hand_on(&take, &mut *to, delay));
        loop {
            let mut frame = from.next()?.to_vec();
            with_checksum(&mut frame);
            put.send((Instant::now(), frame))?;
        }
    })
}

fn hand_on(take: &Receiver<(Instant, Vec<u8>)>, to: &mut dyn DataLinkSender, delay: Duration) {
    let mut waiting = VecDeque::new();
    loop {
        waiting.extend(take.try_iter());
        while waiting.front().is_some_and(|(came, _): &(Instant, Vec<u8>)| came.elapsed() >= delay) {
            if let Some((_, frame)) = waiting.pop_front() {
                let _ = to.send_to(&frame, None); // a lost frame is what networks do
            }
        }
        std::thread::sleep(PACE);
    }
}

/// A virtual cable carries TCP without its checksum, which the receiver of a frame from elsewhere looks at.
fn with_checksum(frame: &mut [u8]) -> Option<()> {
    let is_v4 = EthernetPacket::new(frame)?.get_ethertype() == EtherTypes::Ipv4;
    let mut packet = is_v4.then(|| frame.get_mut(ETHERNET..)).flatten().and_then(MutableIpv4Packet::new)?;
    let (source, destination) = (packet.get_source(), packet.get_destination());
    if packet.get_next_level_protocol() != IpNextHeaderProtocols::Tcp {
        return None;
    }
    let length =
        usize::from(packet.get_total_length().checked_sub(u16::from(packet.get_header_length()) * 4)?);
    let payload = pnet::packet::MutablePacket::payload_mut(&mut packet);
    let mut segment = MutableTcpPacket::new(payload.get_mut(..length)?)?;
    let checksum = tcp::ipv4_checksum(&segment.to_immutable(), &source, &destination);
    segment.set_checksum(checksum);
    Some(())
}
