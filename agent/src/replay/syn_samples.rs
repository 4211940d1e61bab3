//! SYNs of a capture by interface: counted, and looked at as far as a bound allows. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::syns::{SynKind, SynPacket, SynSecond};

/// Packets of a second that are looked at. A running agent takes fewer ([`SynSecond::MAX_SAMPLE`]); here they cost nobody's CPU.
const MAX_SAMPLE: usize = 10_000;
/// Interfaces that are told apart.
const MAX_INTERFACES: usize = 64;
/// Stands for interfaces beyond.
const OTHERS: &str = "other interfaces";

/// SYNs of the second that is on.
#[derive(Debug)]
pub(super) struct Samples {
    interfaces: BTreeMap<Arc<str>, Sample>,
    /// Who is looked at when not all are: the same for the same capture.
    chance: fastrand::Rng,
}

#[derive(Debug)]
struct Sample {
    syns: u64,
    one_in: u32,
    packets: Vec<SynPacket>,
}

impl Default for Samples {
    fn default() -> Self {
        Samples { interfaces: BTreeMap::new(), chance: fastrand::Rng::with_seed(0) }
    }
}

impl Default for Sample {
    fn default() -> Self {
        Sample { syns: 0, one_in: 1, packets: Vec::new() }
    }
}

impl Samples {
    /// Takes in a packet with SYN.
    pub(super) fn take_in(&mut self, interface: &Arc<str>, source: IpAddr, port: u16, kind: SynKind) {
        let known = self.interfaces.len() < MAX_INTERFACES || self.interfaces.contains_key(interface);
        let interface = if known { Arc::clone(interface) } else { OTHERS.into() };
        let sample = self.interfaces.entry(interface).or_default();
        sample.syns += u64::from(kind != SynKind::Answer);
        if sample.one_in == 1 || self.chance.u32(..sample.one_in) == 0 {
            sample.packets.push(SynPacket { source, port, kind });
        }
        if sample.packets.len() > MAX_SAMPLE {
            sample.one_in = sample.one_in.saturating_mul(2);
            sample.packets.retain(|_| self.chance.bool());
        }
    }

    /// What there was since the last call, of every interface that ever had any.
    pub(super) fn second(&mut self) -> Vec<SynSecond> {
        let second = self.interfaces.iter_mut().map(|(interface, sample)| {
            let Sample { syns, one_in, packets } = std::mem::take(sample);
            SynSecond { interface: interface.to_string(), syns, one_in, sample: packets }
        });
        second.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(packets: u32) -> Vec<SynSecond> {
        let mut samples = Samples::default();
        for number in 0..packets {
            let kind = if number % 4 == 0 { SynKind::Answer } else { SynKind::Syn };
            samples.take_in(&"eth0".into(), IpAddr::from(number.to_be_bytes()), 80, kind);
        }
        samples.second()
    }

    #[test]
    fn few_are_all_looked_at() {
        let [second] = &second(10_000)[..] else { panic!() };
        assert_eq!((second.syns, second.one_in, second.sample.len()), (7500, 1, 10_000));
    }

    #[test]
    fn of_many_one_in_so_many_is_which_tells_how_many_they_were() {
        let [second] = &second(400_000)[..] else { panic!() };
        assert_eq!(second.syns, 300_000);
        assert!(second.sample.len() <= MAX_SAMPLE);
        let estimate = second.one_in as usize * second.sample.len();
        assert!(
            (380_000..420_000).contains(&estimate),
            "{estimate}: {} in {}",
            second.sample.len(),
            second.one_in
        );
    }

    #[test]
    fn the_same_packets_give_the_same_sample() {
        assert_eq!(second(50_000), second(50_000));
    }

    #[test]
    fn names_do_not_fill_memory() {
        let mut samples = Samples::default();
        for number in 0..1000 {
            samples.take_in(&format!("veth{number}").into(), [10, 0, 0, 1].into(), 80, SynKind::Syn);
        }
        let seconds = samples.second();
        assert_eq!(
            (seconds.len(), seconds.iter().map(|second| second.syns).sum()),
            (MAX_INTERFACES + 1, 1000u64)
        );
        assert!(samples.second().iter().all(|second| second.syns == 0 && second.one_in == 1));
    }
}
