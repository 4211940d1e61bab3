//! What detectors remember of packets, in memory that is fixed whatever an attacker sends. Pure: no clock, no I/O; the
//! same seed and the same packets give the same answers, on x86 and ARM alike.
//!
//! | sketch | question | answer | off by |
//! |---|---|---|---|
//! | [`Distinct`] | how many sources are there? | estimate | 1.3 % (standard error); next to nothing up to 380 |
//! | [`HeavyHitters`] | who sends most, and how much? | bounds, always true | at most total / counters |
//! | [`Collisions`] | are sources forged, or do they come again? | yes, no, too early | 1 in 1,000 a look |
//! | [`Scanners`] | who tries many ports? | exact for those it follows | missed in a flood: see there |
//! | [`KnownSources`] | was this source here before? | no for sure, yes nearly | 1.6 % of strangers, at most |
//!
//! A source is a [`SourceKey`]. Every place in a table, register or bit is chosen by SipHash-1-3 under the seed, so who
//! does not know the seed cannot choose sources that collide; each sketch derives a function of its own from it.
//!
//! What they cost, each fed a different source with each packet (`cargo bench --bench sketches`; more in
//! `agent/benches/README.md`):
//!
//! | sketch | memory, full | CPU an add |
//! |---|---|---|
//! | [`Distinct`] | 3.7 KB | 31 ns |
//! | [`HeavyHitters`] of 64 sources | 14 KB | 160 ns |
//! | [`HeavyHitters`] of 256 sources | 59 KB | 220 ns |
//! | [`Collisions`] | 33 KB | 34 ns, and 61 us a reading |
//! | [`Scanners`] of 15 ports, one port a source | 217 KB | 200 ns |
//! | [`Scanners`] of 1,024 ports, 1,024 ports a source | 1.0 MB | 1.6 us |
//! | [`KnownSources`] | 59 KB | 78 ns |
//!
//! A detector makes its sketches with the seed that it was given, and feeds them from each second's sample:
//!
//! ```
//! use vpcwatch::detectors::sketches::{Collisions, Distinct, HeavyHitters, KnownSources, ScanLimits, Scanners, SourceKey};
//! use vpcwatch::model::syns::{SynKind, SynPacket, SynSecond};
//!
//! # let packet = |last, port| SynPacket { source: [198, 18, 0, last].into(), port, kind: SynKind::Syn };
//! # let sample = (0..40).map(|number| packet(7, 1000 + number)).collect();
//! # let second = SynSecond { interface: "ens5".into(), syns: 160, one_in: 4, sample };
//! let seed = 42;
//! let mut known = KnownSources::new(seed, 3600);
//! let mut distinct = Distinct::new(seed);
//! let mut senders = HeavyHitters::new(seed, 128);
//! let mut ports = HeavyHitters::new(seed, 64);
//! let mut collisions = Collisions::new(seed);
//! let mut scanners = Scanners::new(seed, ScanLimits::default());
//!
//! let now_ms = 1_780_000_000_000;
//! for packet in second.sample.iter().filter(|packet| packet.kind == SynKind::Syn) {
//!     let source = SourceKey::from(packet.source);
//!     distinct.insert(source);
//!     senders.add(source, second.one_in.into());
//!     ports.add(packet.port, second.one_in.into());
//!     scanners.observe(source, packet.port, now_ms);
//!     if !known.is_known(source) {
//!         collisions.offer(source);
//!     }
//! }
//!
//! let most = senders.top(1)[0];
//! assert_eq!((distinct.estimate(), most.key.to_string(), most.at_least()), (1, "198.18.0.7".into(), 160));
//! assert_eq!(collisions.reading().looks_random(65_536.0), Some(false));
//! assert_eq!(scanners.scans(now_ms)[0].ports_at_most, 40);
//! // A quiet second: its sources are regular clients, should they come again.
//! known.learn(most.key);
//! known.learned_for(1);
//! // Once in a while, for a sliding window.
//! senders.halve();
//! ```

mod collisions;
mod distinct;
mod followed;
mod heavy_hitters;
mod keyed_hash;
mod known_sources;
mod scanners;
mod source_key;

pub use collisions::{Collisions, Reading};
pub use distinct::Distinct;
pub(in crate::detectors) use followed::{FollowedSources, OfSource};
pub use heavy_hitters::{Heavy, HeavyHitters};
pub(in crate::detectors) use keyed_hash::{KeyedHash, Purpose};
pub use known_sources::KnownSources;
pub use scanners::{Scan, ScanLimits, Scanners};
pub use source_key::SourceKey;
