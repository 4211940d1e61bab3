//! The packet sockets of one interface: for each family a counter and a sample.
//!
//! The *counter* passes every SYN, has the smallest receive buffer there is and is never read: the kernel's statistics
//! of it are the exact count. The *sample* passes one packet with SYN in N, and is read. Both are opened for no protocol,
//! get their filter, and only then are bound, so nothing unfiltered is ever queued; bound to one protocol of one
//! interface they see what it receives and not what is transmitted, which the kernel need not clone.

use std::io;
use std::os::fd::IntoRawFd;
use std::time::Duration;

use pnet::datalink::{self, Channel, ChannelType, Config, DataLinkReceiver, NetworkInterface};
use pnet::packet::ethernet::{EtherType, EtherTypes};
use socket2::{Domain, Socket, Type};

use super::addresses::OwnAddresses;
use super::filter::{Choice, Family, KEPT, Program};
use super::packet;
use super::thinning::{PER_FAMILY, Thinning, make_up_for_losses};
use crate::host::packet_statistics::PacketStatistics;
use crate::model::syns::{SynPacket, SynSecond};

/// What a waiting packet takes of the receive buffer: a page's half and the kernel's own words about it, as drivers
/// commonly allocate.
const PACKET_IN_BUFFER: usize = 2560;
/// Packets that are taken out of one buffer at the most, kept or not: more than a buffer of ours can hold of the smallest.
const TAKEN: usize = 4096;

/// What is open at one interface.
pub(super) struct Tap {
    /// The kernel's number for the interface.
    pub index: u32,
    /// Its name, as far as known.
    pub name: String,
    families: [FamilyTap; 2],
    thinning: Thinning,
}

/// What a tap gave since it was read before.
pub(super) struct Reading {
    pub second: SynSecond,
    /// Why it cannot be read again: the interface went down, or away.
    pub broken: Option<io::Error>,
}

struct FamilyTap {
    family: Family,
    counter: Socket,
    sample: Socket,
    receiver: Box<dyn DataLinkReceiver>,
}

/// What one family gave.
#[derive(Default)]
struct Taken {
    syns: u64,
    passed: u64,
    dropped: u64,
    read: u64,
    kept: Vec<SynPacket>,
    broken: Option<io::Error>,
}

impl Tap {
    /// Opens the sockets of an interface.
    pub(super) fn open(interface: &NetworkInterface) -> io::Result<Self> {
        let thinning = Thinning::new();
        let choice = Choice::OneIn(thinning.one_in());
        let families = [
            FamilyTap::open(Family::V4, interface, choice)?,
            FamilyTap::open(Family::V6, interface, choice)?,
        ];
        Ok(Tap { index: interface.index, name: interface.name.clone(), families, thinning })
    }

    /// Takes what waits, and follows the rate.
    pub(super) fn read(&mut self, own: &OwnAddresses) -> Reading {
        let mut all = Taken::default();
        for family in &mut self.families {
            all.add(family.take(own));
        }
        let one_in = self.thinning.one_in();
        let mut sample = all.kept;
        let lost = all.dropped > 0 || all.read > sample.len() as u64;
        let told_one_in = if lost {
            make_up_for_losses(&mut sample, all.passed.saturating_mul(u64::from(one_in)), one_in)
        } else {
            one_in
        };
        let next = self.thinning.after(all.passed, all.dropped, all.read);
        let changed = if next == one_in { Ok(()) } else { self.look_at_one_in(next) };
        Reading {
            second: SynSecond { interface: self.name.clone(), syns: all.syns, one_in: told_one_in, sample },
            broken: all.broken.or(changed.err()),
        }
    }

    fn look_at_one_in(&mut self, one_in: u32) -> io::Result<()> {
        let index = self.index;
        self.families.iter_mut().try_for_each(|family| family.look_at_one_in(one_in, index))
    }
}

impl FamilyTap {
    fn open(family: Family, interface: &NetworkInterface, choice: Choice) -> io::Result<Self> {
        let program = |choice| Program::new(family, choice, interface.index);
        // The kernel raises a size of nothing to the least it allows.
        let (counter, _) = bound(family, interface, &program(Choice::EverySyn), 0)?;
        // The kernel doubles what it is asked for, and cuts it to net.core.rmem_max.
        let (sample, receiver) =
            bound(family, interface, &program(choice), PER_FAMILY * PACKET_IN_BUFFER / 2)?;
        Ok(FamilyTap { family, counter, sample, receiver })
    }

    fn take(&mut self, own: &OwnAddresses) -> Taken {
        let mut taken = Taken::default();
        taken.broken = self.drain(|bytes| {
            taken.read += 1;
            if taken.kept.len() < PER_FAMILY {
                taken.kept.extend(packet::parse(bytes).and_then(|opening| own.judge(&opening)));
            }
        });
        match (PacketStatistics::take(&self.counter), PacketStatistics::take(&self.sample)) {
            (Ok(counted), Ok(sampled)) => {
                taken.syns = counted.passed.into();
                taken.passed = sampled.passed.into();
                taken.dropped = sampled.dropped.into();
            }
            (Err(error), _) | (_, Err(error)) => taken.broken = Some(error),
        }
        taken
    }

    /// Takes out what waits; an error unless the buffer is empty then, or has given all that is taken at a time.
    fn drain(&mut self, mut take: impl FnMut(&[u8])) -> Option<io::Error> {
        for _ in 0..TAKEN {
            match self.receiver.next() {
                Ok(bytes) => take(bytes),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => return None,
                    _ => return Some(error),
                },
            }
        }
        None
    }

    /// Looks at one packet in so many from now on. Nothing that passed the old filter is left to be taken for what
    /// passed the new one: in between nothing passes, for as long as it takes to empty the buffer.
    fn look_at_one_in(&mut self, one_in: u32, interface: u32) -> io::Result<()> {
        Program::new(self.family, Choice::Nothing, interface).attach(&self.sample)?;
        let broken = self.drain(|_| {});
        PacketStatistics::take(&self.sample)?;
        Program::new(self.family, Choice::OneIn(one_in), interface).attach(&self.sample)?;
        broken.map_or(Ok(()), Err)
    }
}

impl Taken {
    fn add(&mut self, other: Taken) {
        self.syns += other.syns;
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.read += other.read;
        self.kept.extend(other.kept);
        self.broken = self.broken.take().or(other.broken);
    }
}

impl Reading {
    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.second.syns == 0 && self.second.sample.is_empty()
    }
}

/// A socket that gets what passes the program at an interface, and pnet's receiver over it.
fn bound(
    family: Family,
    interface: &NetworkInterface,
    program: &Program,
    buffer: usize,
) -> io::Result<(Socket, Box<dyn DataLinkReceiver>)> {
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(buffer)?;
    program.attach(&socket)?;
    let EtherType(protocol) = match family {
        Family::V4 => EtherTypes::Ipv4,
        Family::V6 => EtherTypes::Ipv6,
    };
    let config = Config {
        channel_type: ChannelType::Layer3(protocol),
        promiscuous: false,
        read_timeout: Some(Duration::ZERO),
        read_buffer_size: KEPT as usize,
        write_buffer_size: 0,
        // The channel closes its descriptor, also when it fails to bind it.
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        ..Config::default()
    };
    match datalink::channel(interface, config)? {
        Channel::Ethernet(_, receiver) => Ok((socket, receiver)),
        _ => Err(io::Error::other("pnet opened another kind of channel")),
    }
}
