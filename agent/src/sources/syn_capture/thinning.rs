//! How many packets with SYN are looked at: one in N, N a power of two that follows the rate. Pure.

use crate::model::syns::SynSecond;

/// Packets that are to pass in a second at the most, IPv4 and IPv6 together. Chance lets more pass, but hardly ever
/// the [`PER_FAMILY`] that are kept.
const AIM: u64 = 400;
/// Packets that are kept of either family, so that a flood over one does not hide the other.
pub(super) const PER_FAMILY: usize = SynSecond::MAX_SAMPLE / 2;
/// A buffer that holds less than this at a time is not believed.
const LEAST_AIM: u64 = 16;
/// N at the most: of ten million a second ten are looked at still.
const MOST: u32 = 1 << 20;
/// Readings in a row that must have been calm before N is halved: a flood that pulses finds it still high.
const CALM: u8 = 5;

/// One in how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thinning {
    one_in: u32,
    aim: u64,
    calm: u8,
}

impl Thinning {
    pub(super) fn new() -> Self {
        Thinning { one_in: 1, aim: AIM, calm: 0 }
    }

    pub(super) fn one_in(&self) -> u32 {
        self.one_in
    }

    /// After a reading at which so many had passed, so many of them found the buffer full, and so many were read: what
    /// N should be now. Raised at once, halved after some calm.
    pub(super) fn after(&mut self, passed: u64, dropped: u64, read: u64) -> u32 {
        if dropped > 0 {
            // A full buffer tells how much it holds, which depends on the driver's way to allocate.
            self.aim = self.aim.min(read * 3 / 4).max(LEAST_AIM);
        }
        if passed > self.aim {
            let factor = passed.div_ceil(self.aim).next_power_of_two();
            let one_in = u64::from(self.one_in).saturating_mul(factor);
            self.one_in = u32::try_from(one_in).map_or(MOST, |one_in| one_in.min(MOST));
            self.calm = 0;
        } else if passed >= self.aim / 4 || self.one_in == 1 {
            self.calm = 0;
        } else {
            self.calm += 1;
            if self.calm >= CALM {
                self.one_in /= 2;
                self.calm = 0;
            }
        }
        self.one_in
    }
}

/// Thins a sample that lost packets to full buffers and bounds, so that its length times the returned number is how
/// many there were, `all` (an estimate: those that passed, times N), less than that number off. To make up for losses by
/// the number alone would be up to half off: it is whole.
pub(super) fn make_up_for_losses<T>(sample: &mut Vec<T>, all: u64, one_in: u32) -> u32 {
    let length = sample.len() as u64;
    if length == 0 || all <= length.saturating_mul(u64::from(one_in)) {
        return one_in;
    }
    let effective = all.div_ceil(length);
    let keep = all / effective;
    let mut n = 0;
    // Evenly over the second, not only its beginning.
    sample.retain(|_| {
        n += 1;
        n * keep / length > (n - 1) * keep / length
    });
    u32::try_from(effective).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// N after each of these seconds of packets, where the buffer is large enough.
    fn follow(seconds: &[u64]) -> Vec<u32> {
        let mut thinning = Thinning::new();
        let one_in = |packets: &u64| {
            let passed = packets / u64::from(thinning.one_in());
            thinning.after(passed, 0, passed)
        };
        seconds.iter().map(one_in).collect()
    }

    #[test]
    fn raised_at_once_and_lowered_slowly() {
        assert_eq!(follow(&[10, 400]), [1, 1]);
        assert_eq!(follow(&[401]), [2]);
        assert_eq!(follow(&[20_000, 20_000]), [64, 64]);
        assert_eq!(follow(&[0, 1_000_000, 2_000_000]), [1, 4096, 8192]);
        assert_eq!(follow(&[u64::from(u32::MAX) * 4]), [MOST]);
        // A pulse's pause of four seconds does not lower it; calm does, by half each time.
        assert_eq!(follow(&[20_000, 0, 0, 0, 0, 20_000, 0]), [64; 7]);
        let calm = follow(&[[2_000].as_slice(), &[30; 20]].concat());
        assert_eq!((calm[0], calm[5], calm[10], calm[15], calm[20]), (8, 4, 2, 1, 1));
    }

    #[test]
    fn a_steady_rate_does_not_swing() {
        for rate in (100..100_000).step_by(997) {
            let one_in = follow(&[rate; 30]);
            assert!(one_in.windows(2).skip(1).all(|pair| pair[0] == pair[1]), "{rate}: {one_in:?}");
            assert!(rate / u64::from(one_in[29]) <= AIM, "{rate}");
        }
    }

    #[test]
    fn a_small_buffer_lowers_the_aim() {
        let mut thinning = Thinning::new();
        assert_eq!(thinning.after(400, 240, 160), 4); // it holds 160, so aim at 120
        assert_eq!(thinning.after(100, 0, 100), 4);
        assert_eq!(thinning.after(121, 0, 121), 8);
        assert_eq!(Thinning::new().after(1000, 1000, 0), 64);
    }

    proptest! {
        #[test]
        fn a_sample_tells_how_many_there_were(
            length in 1..1000usize, times in 1..5000u64, more in 0..5000u64, one_in in 1..10_000u32,
        ) {
            let all = (length as u64 * u64::from(one_in)).max(length as u64 * times + more);
            let mut sample: Vec<usize> = (0..length).collect();
            let effective = make_up_for_losses(&mut sample, all, one_in);
            prop_assert!(effective >= one_in);
            let told = sample.len() as u64 * u64::from(effective);
            prop_assert!(told <= all && all - told < u64::from(effective), "{told} of {all}");
            prop_assert!(sample.is_sorted());
        }
    }

    #[test]
    fn without_losses_nothing_is_left_out() {
        for (length, all, one_in, expected) in [
            (200, 12_800, 64, (64, 200)),
            (0, 7, 64, (64, 0)),
            (200, 6400, 64, (64, 200)),
            (100, 150, 1, (2, 75)),
        ] {
            let mut sample: Vec<u8> = (0..length).collect();
            assert_eq!((make_up_for_losses(&mut sample, all, one_in), sample.len()), expected);
        }
        let mut sample: Vec<u8> = (0..8).collect();
        assert_eq!((make_up_for_losses(&mut sample, 12, 1), sample), (2, vec![1, 2, 3, 5, 6, 7]));
    }
}
