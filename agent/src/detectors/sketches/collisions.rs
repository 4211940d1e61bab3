//! Whether sources repeat as they would had they been drawn at random from a large space: forged addresses, or a
//! population that comes again and again.
//!
//! Of n packets, n(n-1)/2 pairs can be made. If each packet comes from one of S equally likely sources, one pair in S
//! shares its source, on any sample one-in-N of the packets: the rate is independent of N (Friedman, "The index of
//! coincidence", 1922; Simpson, "Measurement of diversity", 1949). Its reciprocal is the number of *effective* sources.
//! Distinct sources per packet, which looks like the simpler measure, says "all distinct" of a sampled botnet as well.

use super::SourceKey;
use super::keyed_hash::{KeyedHash, Purpose};

/// Draws a sample of the packets and measures how often two of them share their source.
///
/// It keeps 64-bit keyed hashes of at most [`Collisions::SAMPLE`] packets (32 KiB), each packet since the last
/// [`Collisions::clear`] with the same probability (Vitter's algorithm R, 1985). That two sources share a hash has
/// probability below 10^-12. Feed it only what may belong to an attack: regular clients come again, and among forged
/// sources they look like a botnet; [`Collisions::without_repeaters`] helps where they cannot be told apart before.
#[derive(Debug, Clone)]
pub struct Collisions {
    hash: KeyedHash,
    draw: KeyedHash,
    offered: u64,
    sample: Vec<u64>,
}

impl Collisions {
    /// How many packets are kept: of 65,536 random sources this makes 128 colliding pairs, of 20,000 it makes 419.
    pub const SAMPLE: usize = 4096;

    /// A source that is in a full sample this often was hardly drawn at random: of 131,072 equally likely sources less
    /// than one is, of 65,536 about three are, and their pairs are not missed among 128.
    pub const REPEATS: usize = 3;

    /// Nothing offered yet.
    pub fn new(seed: u64) -> Self {
        Collisions {
            hash: KeyedHash::new(seed, Purpose::Collisions),
            draw: KeyedHash::new(seed, Purpose::CollisionDraw),
            offered: 0,
            sample: Vec::with_capacity(Self::SAMPLE),
        }
    }

    /// Takes in the source of one packet.
    pub fn offer(&mut self, source: SourceKey) {
        let hash = self.hash.of(&source);
        self.offered += 1;
        if self.sample.len() < Self::SAMPLE {
            self.sample.push(hash);
            return;
        }
        let place = self.draw.draw(self.offered, self.offered);
        if let Some(kept) = usize::try_from(place).ok().and_then(|place| self.sample.get_mut(place)) {
            *kept = hash;
        }
    }

    /// How many packets were offered.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// What the sample tells. Sorts it: about 0.1 ms when it is full.
    pub fn reading(&self) -> Reading {
        self.read(usize::MAX)
    }

    /// The same, less the packets of sources that are in the sample [`Collisions::REPEATS`] times or more: forged
    /// addresses stay, regular clients and small botnets go. Compare `packets` of both to see how much is left.
    pub fn without_repeaters(&self) -> Reading {
        self.read(Self::REPEATS)
    }

    fn read(&self, repeats: usize) -> Reading {
        let mut sorted = self.sample.clone();
        sorted.sort_unstable();
        sorted.chunk_by(|a, b| a == b).map(<[u64]>::len).filter(|times| *times < repeats).fold(
            Reading::default(),
            |reading, times| {
                let times = times as u64;
                Reading {
                    packets: reading.packets + times,
                    colliding_pairs: reading.colliding_pairs + pairs(times),
                }
            },
        )
    }

    /// Forgets the sample.
    pub fn clear(&mut self) {
        self.offered = 0;
        self.sample.clear();
    }
}

/// What a sample of packets tells of its sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// Packets in the sample.
    pub packets: u64,
    /// Pairs of them that share their source.
    pub colliding_pairs: u64,
}

impl Reading {
    /// Colliding pairs from which on their number says how many sources there are: the standard error is then one in the
    /// root of ten, 32 %.
    pub const ENOUGH: u64 = 10;

    /// How often [`Reading::looks_random`] may be wrong, about.
    pub const ERROR: f64 = 0.001;

    /// How many times fewer than asked for the sources must be, for the chance to call them random to be bounded.
    const APART: f64 = 3.0;

    /// Pairs that can be made of the packets.
    pub fn pairs(&self) -> u64 {
        pairs(self.packets)
    }

    /// As many equally likely sources would collide as often; none while too few pairs have collided to say.
    pub fn effective_sources(&self) -> Option<f64> {
        (self.colliding_pairs >= Self::ENOUGH).then(|| real(self.pairs()) / real(self.colliding_pairs))
    }

    /// Whether the sources look like `min_sources` or more that are equally likely; nothing while too few packets were
    /// seen to say. See [`Reading::looks_random_within`]; `error` is [`Reading::ERROR`].
    pub fn looks_random(&self, min_sources: f64) -> Option<bool> {
        self.looks_random_within(min_sources, Self::ERROR)
    }

    /// Whether the sources look like `min_sources` or more that are equally likely.
    ///
    /// - *No*, if so many pairs collide that `min_sources` or more would make as many with probability below `error`.
    /// - *Yes*, if so few do that a third of `min_sources` or less would make as few with probability below `error`, also
    ///   if those few were not equally likely, since that only makes more of them.
    /// - Nothing otherwise. Between a third and the whole of `min_sources` either may be said.
    ///
    /// Pairs of packets collide independently of one another, two by two, so their number is nearly Poisson while packets
    /// are fewer than sources; the tails are bounded by Chernoff's inequality. These are probabilities of one look.
    ///
    /// Measured with 65,536 asked for and the error at 0.001, looking each ten packets and taking the first answer:
    ///
    /// | sources | answered after packets, half of the runs | nine in ten | wrongly, of 400 |
    /// |---|---|---|---|
    /// | 2^32 | 550 | 550 | 0 |
    /// | 131,072 | 670 | 900 | 0 |
    /// | 65,536 | 900 | 1,230 | 1 |
    /// | 40,000, neither the one nor the other | 1,330 | 1,670 | 309 are called random |
    /// | 21,845 | 760 | 1,120 | 0 |
    /// | 20,000 | 730 | 1,050 | 2 |
    /// | 5,000 | 190 | 300 | 0 |
    /// | 200 | 27 | 40 | 0 |
    pub fn looks_random_within(&self, min_sources: f64, error: f64) -> Option<bool> {
        let expected = real(self.pairs()) / min_sources;
        let collided = real(self.colliding_pairs);
        if collided > expected && poisson_tail(collided, expected) <= error {
            Some(false)
        } else if collided < Self::APART * expected && poisson_tail(collided, Self::APART * expected) <= error
        {
            Some(true)
        } else {
            None
        }
    }
}

/// Chernoff's bound on the probability that a Poisson variable of mean `expected` is at `observed` or further out.
fn poisson_tail(observed: f64, expected: f64) -> f64 {
    let logarithm = if observed > 0.0 { observed * (observed / expected).ln() } else { 0.0 };
    (observed - expected - logarithm).exp()
}

fn pairs(packets: u64) -> u64 {
    packets * packets.saturating_sub(1) / 2
}

#[expect(clippy::cast_precision_loss, reason = "pairs of a sample: below 2^53")]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORGED: f64 = 65_536.0;

    /// Packets of one of so many sources each, at random.
    fn of(seed: u64, sources: u64, packets: u64) -> Collisions {
        let mut collisions = Collisions::new(seed);
        offer(&mut collisions, seed, sources, packets);
        collisions
    }

    fn offer(collisions: &mut Collisions, seed: u64, sources: u64, packets: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..packets {
            collisions.offer(SourceKey::Prefix(random.u64(0..sources)));
        }
    }

    #[test]
    fn pairs_are_counted() {
        let mut collisions = Collisions::new(1);
        assert_eq!(collisions.reading(), Reading::default());
        assert_eq!(collisions.reading().pairs(), 0);
        for source in [1, 2, 1, 3, 1, 2, 1] {
            collisions.offer(SourceKey::Prefix(source));
        }
        assert_eq!(collisions.reading(), Reading { packets: 7, colliding_pairs: 7 });
        assert_eq!(collisions.reading().pairs(), 21);
        assert_eq!(collisions.without_repeaters(), Reading { packets: 3, colliding_pairs: 1 });
        assert_eq!(
            (collisions.reading().effective_sources(), collisions.reading().looks_random(FORGED)),
            (None, Some(false))
        );
        collisions.clear();
        assert_eq!((collisions.reading(), collisions.offered()), (Reading::default(), 0));
    }

    /// (sources, packets, what is said). Each with 20 seeds, all of which must say it.
    #[test]
    fn forged_and_repeating_sources_are_told_apart() {
        let cases: [(u64, u64, &[Option<bool>]); 13] = [
            (131_072, 100, &[None]),
            (131_072, 600, &[None, Some(true)]),
            (131_072, 2_000, &[Some(true)]),
            (131_072, 60_000, &[Some(true)]),
            (1 << 32, 600, &[Some(true)]),
            (1 << 32, 60_000, &[Some(true)]),
            (65_536, 4_000, &[Some(true)]),
            (20_000, 600, &[None, Some(false)]),
            (20_000, 2_000, &[Some(false), None]),
            (20_000, 4_000, &[Some(false)]),
            (5_000, 2_000, &[Some(false)]),
            (200, 100, &[Some(false)]),
            (200, 60_000, &[Some(false)]),
        ];
        for (sources, packets, allowed) in cases {
            for seed in 0..20 {
                let reading = of(seed, sources, packets.min(6_000)).reading();
                let said = reading.looks_random(FORGED);
                assert!(
                    allowed.contains(&said),
                    "{sources} sources, {packets} packets, seed {seed}: {said:?} {reading:?}"
                );
            }
        }
    }

    /// At the edges of what is promised, where the bound is tight.
    #[test]
    fn errors_stay_below_what_is_promised() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut reading = |sources: usize, packets| {
            let mut times = vec![0u64; sources];
            let colliding_pairs = (0..packets)
                .map(|_| {
                    let times = &mut times[random.usize(0..sources)];
                    *times += 1;
                    *times - 1
                })
                .sum();
            Reading { packets, colliding_pairs }
        };
        for packets in [300, 700, 1_500] {
            for (sources, wrong) in [(65_536, false), (21_845, true)] {
                let said = (0..1_000).map(|_| reading(sources, packets).looks_random_within(FORGED, 0.01));
                let wrongly = said.filter(|said| *said == Some(wrong)).count();
                assert!(wrongly <= 10, "{sources} sources, {packets} packets: {wrongly} of 1,000");
            }
        }
    }

    /// The table in the documentation, looked at each ten packets until there is an answer.
    #[test]
    fn answers_come_soon() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut answer = |sources: usize| {
            let mut times = vec![0u64; sources];
            let mut reading = Reading::default();
            loop {
                let times = &mut times[random.usize(0..sources)];
                reading = Reading {
                    packets: reading.packets + 1,
                    colliding_pairs: reading.colliding_pairs + *times,
                };
                *times += 1;
                let said = if reading.packets % 10 == 0 { reading.looks_random(FORGED) } else { None };
                if let Some(said) = said {
                    return (said, reading.packets);
                }
            }
        };
        for (sources, right, soon) in [
            (131_072, true, 900),
            (65_536, true, 1_230),
            (20_000, false, 1_050),
            (5_000, false, 300),
            (200, false, 40),
        ] {
            let answers: Vec<(bool, u64)> = (0..200).map(|_| answer(sources)).collect();
            let wrong = answers.iter().filter(|(said, _)| *said != right).count();
            let late = answers.iter().filter(|(_, packets)| *packets > soon).count();
            assert!(wrong <= 3 && late <= 35, "{sources}: of 200 {wrong} wrong, {late} late");
        }
    }

    #[test]
    fn regular_clients_among_forged_sources_are_left_out() {
        let mut collisions = of(3, 1 << 32, 2_000);
        offer(&mut collisions, 4, 12, 600);
        assert_eq!(collisions.reading().looks_random(FORGED), Some(false));
        let rest = collisions.without_repeaters();
        assert_eq!((rest.packets, rest.looks_random(FORGED)), (2_000, Some(true)));
    }

    #[test]
    fn effective_sources_are_about_the_true_number() {
        for (sources, packets, tolerance) in [(200, 1_000, 0.1), (20_000, 4_096, 0.2), (131_072, 4_096, 0.5)]
        {
            let effective = of(9, sources, packets).reading().effective_sources().unwrap();
            assert!((effective / sources as f64 - 1.0).abs() < tolerance, "{sources}: {effective}");
        }
    }

    #[test]
    fn one_seed_one_answer() {
        let drawn = |seed| {
            let mut collisions = Collisions::new(seed);
            (0..50_000).for_each(|number| collisions.offer(SourceKey::Prefix(number % 7_000)));
            collisions.reading()
        };
        assert_eq!(drawn(42), Reading { packets: 4_096, colliding_pairs: 1_018 });
        assert_eq!(drawn(42), drawn(42));
        assert_ne!(drawn(42), drawn(43));
    }

    #[test]
    fn the_sample_is_drawn_evenly_and_does_not_grow() {
        let mut collisions = Collisions::new(11);
        let room = collisions.sample.capacity();
        (0..4).for_each(|quarter| (0..25_000).for_each(|_| collisions.offer(SourceKey::Prefix(quarter))));
        assert_eq!((collisions.sample.len(), collisions.sample.capacity()), (Collisions::SAMPLE, room));
        for quarter in 0..4 {
            let hash = collisions.hash.of(&SourceKey::Prefix(quarter));
            let kept = collisions.sample.iter().filter(|kept| **kept == hash).count();
            // Six standard deviations of 28.
            assert!((856..1192).contains(&kept), "{quarter}: {kept}");
        }
    }

    proptest! {
        #[test]
        fn a_sample_that_was_not_cut_is_exact(seed: u64, sources in prop::collection::vec(0u64..300, 0..500)) {
            let mut collisions = Collisions::new(seed);
            sources.iter().for_each(|source| collisions.offer(SourceKey::Prefix(*source)));
            let colliding = (0..sources.len())
                .flat_map(|i| (0..i).map(move |j| (i, j)))
                .filter(|(i, j)| sources[*i] == sources[*j])
                .count();
            let reading = collisions.reading();
            prop_assert_eq!((reading.packets, reading.colliding_pairs), (sources.len() as u64, colliding as u64));
        }

        #[test]
        fn nothing_is_said_of_nonsense(packets in 0u64..4097, colliding_pairs: u64, sources: f64) {
            let reading = Reading { packets, colliding_pairs };
            let _ = (reading.looks_random(sources), reading.effective_sources());
        }
    }
}
