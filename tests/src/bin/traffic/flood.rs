//! Packets that nobody asked for, at a rate that is kept, or as fast as the machine makes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use pnet::datalink::{Channel, Config, DataLinkSender, MacAddr};
use pnet::packet::tcp::TcpFlags;
use serde_json::json;
use vpcwatch::host::clock;
use vpcwatch_tests::frames::Segment;
use vpcwatch_tests::namespace::interface;

/// Between two wake-ups. A flood of 100,000/s sends a hundred packets at each.
const PACE: Duration = Duration::from_millis(1);
/// Packets between two looks at the clock.
const BATCH: u64 = 64;

#[derive(Debug, Args)]
pub(super) struct Flood {
    /// What is sent
    #[arg(long, value_enum)]
    kind: Kind,
    /// Packets a second; `fastest` is without limit
    #[arg(long, value_parser = rate)]
    rate: f64,
    /// For so long
    #[arg(long)]
    seconds: f64,
    /// Begin at this rate and rise evenly to `--rate`
    #[arg(long)]
    ramp_from: Option<f64>,
    /// Send for so many seconds ...
    #[arg(long, requires = "off")]
    on: Option<f64>,
    /// ... and rest for so many
    #[arg(long, requires = "on")]
    off: Option<f64>,
    /// Whom it goes to
    #[arg(long)]
    to: SocketAddr,
    /// Their Ethernet address, or that of the router to them
    #[arg(long)]
    mac: MacAddr,
    /// Sources of a botnet, or live ones
    #[arg(long, default_value_t = 64)]
    sources: u32,
    /// First address of live sources
    #[arg(long, default_value = "10.9.0.10")]
    first: Ipv4Addr,
    /// Of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is sent, and from whom.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// SYNs, each from another address of the ranges for benchmarks (RFC 2544, RFC 5180)
    Spoofed,
    /// SYNs from one address that answers nothing
    OneSource,
    /// SYNs from `--sources` addresses, again and again, that answer nothing
    Botnet,
    /// SYNs from `--sources` addresses from `--first` on, whose kernel answers the SYN-ACK with RST
    Live,
    /// SYNs from one address to one port after the other
    Scan,
    /// What the victim of a flood in our name answers: a third SYN-ACKs, two thirds RSTs
    Backscatter,
    /// ACKs for connections that are not there
    StrayAcks,
}

fn rate(text: &str) -> Result<f64, String> {
    if text == "fastest" {
        Ok(f64::INFINITY)
    } else {
        text.parse().map_err(|_| "a number or `fastest`".into())
    }
}

impl Flood {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let interface = interface()?;
        let from_mac = interface.mac.context("an interface without an address")?;
        let config = Config { promiscuous: false, read_buffer_size: 0, ..Config::default() };
        let Channel::Ethernet(mut sender, _) = pnet::datalink::channel(&interface, config)? else {
            bail!("not an Ethernet channel");
        };
        let mut random = fastrand::Rng::with_seed(self.seed);
        let (first, begun) = (clock::wall(), Instant::now());
        let (mut sent, mut failed, mut last) = (0u64, 0u64, first);
        loop {
            let elapsed = begun.elapsed().as_secs_f64();
            if elapsed >= self.seconds {
                break;
            }
            let due = self.due(elapsed).floor();
            let before = sent;
            while float(sent) < due && sent - before < BATCH {
                let frame =
                    self.next(sent, &mut random).frame(from_mac, self.mac).context("mixed families")?;
                sent += 1;
                failed += u64::from(!send(&mut *sender, &frame));
            }
            if sent > before {
                last = clock::wall();
            }
            if sent - before < BATCH {
                std::thread::sleep(PACE);
            }
        }
        println!(
            "{}",
            json!({
                "role": "flood", "kind": format!("{:?}", self.kind), "first": first, "last": last,
                "sent": sent - failed, "failed": failed,
                "rate": (float(sent - failed) / begun.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            })
        );
        Ok(())
    }

    /// Packets that should have been sent after that time.
    fn due(&self, elapsed: f64) -> f64 {
        let (Some(on), Some(off)) = (self.on, self.off) else {
            let from = self.ramp_from.unwrap_or(self.rate);
            let rise = if self.ramp_from.is_some() { (self.rate - from) / self.seconds } else { 0.0 };
            return 1.0 + from * elapsed + rise * elapsed * elapsed / 2.0;
        };
        let rounds = (elapsed / (on + off)).floor();
        self.rate * (rounds * on + (elapsed - rounds * (on + off)).min(on))
    }

    fn next(&self, n: u64, random: &mut fastrand::Rng) -> Segment {
        let (address, port) = (self.to.ip(), self.to.port());
        let high = random.u16(1024..65_000);
        let (source, source_port, port, flags) = match self.kind {
            Kind::Spoofed => (self.made_up(random.u32(..)), high, port, TcpFlags::SYN),
            Kind::OneSource => (self.made_up(0x1_ffff), high, port, TcpFlags::SYN),
            Kind::Botnet => {
                // Spread over the range by an odd factor, so that they are no neighbours.
                (self.made_up(random.u32(..self.sources).wrapping_mul(40_503)), high, port, TcpFlags::SYN)
            }
            Kind::Live => {
                let source = Ipv4Addr::from_bits(self.first.to_bits() + random.u32(..self.sources));
                (source.into(), high, port, TcpFlags::SYN)
            }
            Kind::Scan => {
                let port = u16::try_from(1 + n % 60_000).unwrap_or(1);
                (self.made_up(0x1_ffff), high, port, TcpFlags::SYN)
            }
            Kind::Backscatter => {
                let flags = if random.u8(..3) == 0 { TcpFlags::SYN } else { TcpFlags::RST };
                let from = if random.bool() { 80 } else { 443 };
                (self.made_up(random.u32(..)), from, high, flags | TcpFlags::ACK)
            }
            Kind::StrayAcks => (self.made_up(random.u32(..)), high, port, TcpFlags::ACK),
        };
        let acknowledgement = if flags & TcpFlags::ACK == 0 { 0 } else { random.u32(..) };
        Segment {
            from: (source, source_port),
            to: (address, port),
            flags,
            sequence: random.u32(..),
            acknowledgement,
        }
    }

    /// An address of 198.18.0.0/15, or one in a /64 of `2001:2::/48`: of those that nobody has.
    fn made_up(&self, number: u32) -> IpAddr {
        if self.to.is_ipv4() {
            return Ipv4Addr::from_bits(0xc612_0000 | (number & 0x1_ffff)).into();
        }
        let prefix = u16::try_from(number & 0xffff).unwrap_or(0);
        let host = number.wrapping_mul(2_654_435_761).to_be_bytes();
        let [a, b, c, d] = host;
        Ipv6Addr::new(0x2001, 2, 0, prefix, 0, 0, u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
            .into()
    }
}

/// Whether it went out: a queue may be full.
fn send(sender: &mut dyn DataLinkSender, frame: &[u8]) -> bool {
    matches!(sender.send_to(frame, None), Some(Ok(())))
}

#[expect(clippy::cast_precision_loss, reason = "packets of one run, far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
