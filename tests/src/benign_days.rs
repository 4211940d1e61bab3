//! Days in the lives of hosts that nobody floods, to count false alarms: profiles of load, seeded, second by second.

use std::net::Ipv4Addr;

use crate::chance::{normal, poisson};
use crate::simulated_host::{Listener, Packets, Second, SimulatedHost, Sources, Stray, Visits};
use vpcwatch::model::snapshot::Snapshot;

/// Seconds of a day.
pub const DAY: u64 = 86_400;

/// A kind of host and what it lives through.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// Kinds of findings that are true here whenever they come, and no false alarms.
    pub true_kinds: &'static [&'static str],
    listeners: &'static [Listener],
    syncookies: u8,
    live: fn(&mut Life, u64) -> Second,
}

/// Every profile.
pub const PROFILES: [Profile; 12] = [
    Profile { name: "quiet", true_kinds: &[], listeners: &[SSH], syncookies: 1, live: quiet },
    Profile { name: "office-web", true_kinds: &[], listeners: &[SSH, WEB], syncookies: 1, live: office },
    Profile {
        name: "office-web, syncookies=2",
        true_kinds: &[],
        listeners: &[SSH, WEB],
        syncookies: 2,
        live: office,
    },
    Profile {
        name: "api-behind-balancer",
        true_kinds: &[],
        listeners: &[SSH, WEB],
        syncookies: 1,
        live: api,
    },
    Profile { name: "reverse-proxy", true_kinds: &[], listeners: &[SSH, WEB], syncookies: 1, live: proxy },
    Profile {
        name: "nightly-batch",
        true_kinds: &["slow_accept"],
        listeners: &[SSH, SMALL],
        syncookies: 1,
        live: batch,
    },
    Profile { name: "crawlers", true_kinds: &[], listeners: &[SSH, WEB], syncookies: 1, live: crawlers },
    Profile {
        name: "deploys",
        true_kinds: &["slow_accept"],
        listeners: &[SSH, SMALL],
        syncookies: 1,
        live: deploys,
    },
    Profile { name: "far-away", true_kinds: &[], listeners: &[SSH, WEB], syncookies: 1, live: far_away },
    Profile {
        name: "far-away, backlog 128",
        true_kinds: &[],
        listeners: &[SSH, SMALL],
        syncookies: 1,
        live: far_away,
    },
    Profile {
        name: "deferred-accept",
        true_kinds: &[],
        listeners: &[SSH, DEFERRING],
        syncookies: 1,
        live: deferred,
    },
    Profile {
        name: "internet-noise",
        true_kinds: &["port_scan", "backscatter", "ack_noise"],
        listeners: &[SSH, WEB],
        syncookies: 1,
        live: noise,
    },
];

const SSH: Listener = Listener { port: 22, backlog: 128, defers: false };
const WEB: Listener = Listener { port: 443, backlog: 511, defers: false };
const SMALL: Listener = Listener { port: 443, backlog: 128, defers: false };
const DEFERRING: Listener = Listener { port: 443, backlog: 511, defers: true };
/// Index of the busy listener.
const BUSY: usize = 1;

/// People on the Internet.
const PEOPLE: Sources = Sources { first: Ipv4Addr::new(100, 64, 0, 0), count: 400_000 };
/// Nodes of a load balancer.
const BALANCER: Sources = Sources { first: Ipv4Addr::new(10, 0, 1, 10), count: 3 };
/// Own machines.
const FLEET: Sources = Sources { first: Ipv4Addr::new(10, 0, 2, 10), count: 6 };
/// Everybody who scans.
const ANYBODY: Sources = Sources { first: Ipv4Addr::new(45, 0, 0, 0), count: 50_000_000 };

/// A host's week: its kernel and what is going on.
#[derive(Debug)]
pub struct Week {
    profile: Profile,
    host: SimulatedHost,
    life: Life,
    second: u64,
}

impl Week {
    /// Begins at midnight of a Monday. `captures`: whether the agent sees SYNs.
    pub fn new(profile: Profile, seed: u64, captures: bool) -> Self {
        Week::beginning_at(0, profile, seed, captures)
    }

    /// Begins so many seconds later.
    pub fn beginning_at(second: u64, profile: Profile, seed: u64, captures: bool) -> Self {
        let host = SimulatedHost::new(profile.listeners, profile.syncookies, captures, seed);
        let random = fastrand::Rng::with_seed(seed.wrapping_add(1 << 32));
        Week { profile, host, life: Life { random, mood: 0.0, episodes: [Episode::default(); 4] }, second }
    }

    /// The next second's snapshot.
    pub fn next_second(&mut self) -> Snapshot {
        let second = (self.profile.live)(&mut self.life, self.second);
        self.second += 1;
        self.host.pass(&second)
    }
}

/// What changes from second to second.
#[derive(Debug)]
struct Life {
    random: fastrand::Rng,
    /// Slow ups and downs of the load: log of a factor.
    mood: f64,
    episodes: [Episode; 4],
}

/// Something that lasts for a while.
#[derive(Debug, Clone, Copy, Default)]
struct Episode {
    until: u64,
    /// Drawn at its beginning, 0 to 1.
    size: f64,
    began: u64,
}

impl Episode {
    fn is_on(&self, second: u64) -> bool {
        second < self.until
    }

    /// Between those two, by its size; larger ones are rarer.
    fn between(&self, least: f64, most: f64) -> f64 {
        least * (most / least).powf(self.size)
    }
}

impl Life {
    /// An episode that comes so many times a day and lasts from `least` to `most` seconds.
    fn episode(&mut self, slot: usize, second: u64, times_a_day: f64, least: u64, most: u64) -> Episode {
        let comes = self.random.f64() < times_a_day / 86_400.0;
        let Some(episode) = self.episodes.get_mut(slot) else { return Episode::default() };
        if !episode.is_on(second) && comes {
            *episode = Episode {
                until: second + self.random.u64(least..=most),
                size: self.random.f64(),
                began: second,
            };
        }
        *episode
    }

    /// Clients of this second, `rate` on average, in the mood of the hour.
    fn visits(&mut self, rate: f64, round_trip: f64, from: Sources) -> Visits {
        self.mood += -self.mood / 300.0 + 0.2 * (2.0f64 / 300.0).sqrt() * normal(&mut self.random);
        let count = poisson(&mut self.random, rate * self.mood.exp());
        visits(count, round_trip, from)
    }

    fn packets(&mut self, kind: Stray, rate: f64, from: Sources) -> Packets {
        Packets { kind, count: poisson(&mut self.random, rate), from }
    }

    /// What reaches every public address: a SYN now and then that nobody completes, half a handshake, a closed port.
    fn background(&mut self, rate: f64) -> Vec<Packets> {
        let port = self.random.u16(..);
        vec![
            self.packets(Stray::Unanswered(BUSY), 0.1 * rate, ANYBODY),
            self.packets(Stray::Reset(0), 0.1 * rate, ANYBODY),
            self.packets(Stray::Reset(BUSY), 0.2 * rate, ANYBODY),
            self.packets(Stray::ClosedPort(port), 0.6 * rate, ANYBODY),
            self.packets(Stray::SynAck, 0.05 * rate, ANYBODY),
            self.packets(Stray::Ack, 0.05 * rate, ANYBODY),
        ]
    }
}

fn visits(count: u64, round_trip: f64, from: Sources) -> Visits {
    Visits { to: BUSY, count, round_trip, loss: 0.005, at_once: false, silent_seconds: 0, from }
}

/// 0 at night, 1 at the height of a working day, a third of that on weekends.
fn office_hours(second: u64) -> f64 {
    let (day, hour) = (second / DAY % 7, second % DAY / 360);
    #[expect(clippy::cast_precision_loss, reason = "tenths of hours")]
    let hour = hour as f64 / 10.0;
    let bell = |middle: f64, width: f64| (-((hour - middle) / width).powi(2)).exp();
    (bell(10.5, 2.2) + 0.9 * bell(15.0, 2.5)).min(1.0) * if day < 5 { 1.0 } else { 0.3 }
}

/// Logins now and then, and the fleet's own jobs.
fn quiet(life: &mut Life, second: u64) -> Second {
    let mut visits = vec![Visits { to: 0, ..life.visits(0.02, 0.02, FLEET) }];
    if second.is_multiple_of(300) {
        visits.push(Visits { to: 0, ..self::visits(6, 0.001, FLEET) }); // a job on each machine of the fleet
    }
    let own = poisson(&mut life.random, 0.2);
    Second { visits, own, ..Second::default() }
}

/// A web server by the clock: 5 a second at night, 200 at its height, bursts of three times as many.
fn office(life: &mut Life, second: u64) -> Second {
    let burst = life.episode(0, second, 12.0, 10, 90);
    let times = if burst.is_on(second) { burst.between(1.5, 4.0) } else { 1.0 };
    let rate = (5.0 + 195.0 * office_hours(second)) * times;
    let visits = vec![life.visits(rate, 0.05, PEOPLE)];
    Second { visits, packets: life.background(0.5), own: poisson(&mut life.random, 3.0), ..Second::default() }
}

/// Few sources, steady, checked by each node with whole and half handshakes; sometimes a server behind it is dead.
fn api(life: &mut Life, second: u64) -> Second {
    let dead = life.episode(0, second, 4.0, 30, 600);
    let scaled = life.episode(1, second, 6.0, 60, 1200);
    let nodes = if scaled.is_on(second) { 8 } else { 3 };
    let balancer = Sources { count: nodes, ..BALANCER };
    let checks = Packets { kind: Stray::Reset(BUSY), count: u64::from(nodes), from: balancer };
    let visits = vec![
        life.visits(30.0 + 80.0 * office_hours(second), 0.001, balancer),
        self::visits(u64::from(nodes), 0.001, balancer),
    ];
    let own = poisson(&mut life.random, 20.0);
    let own_unanswered =
        if dead.is_on(second) { poisson(&mut life.random, dead.between(1.0, 10.0)) } else { 0 };
    Second { visits, packets: vec![checks], own, own_unanswered, ..Second::default() }
}

/// The same as a web server, each visit once more over loopback.
fn proxy(life: &mut Life, second: u64) -> Second {
    Second { is_proxy: true, ..office(life, second) }
}

/// Idle by day; at two in the morning the fleet brings its backups, in waves that begin at once.
fn batch(life: &mut Life, second: u64) -> Second {
    let of_day = second % DAY;
    let is_night = (7200..9600).contains(&of_day);
    let wave = is_night && of_day % 300 < 120;
    let stall = life.episode(0, second, if is_night { 200.0 } else { 2.0 }, 1, 3);
    let rate = if wave { 350.0 } else { 2.0 };
    let mut visits = vec![life.visits(rate, 0.001, FLEET)];
    if is_night && of_day.is_multiple_of(300) {
        visits.push(Visits { at_once: true, ..self::visits(400, 0.001, FLEET) });
    }
    let stalled = if stall.is_on(second) { vec![BUSY] } else { Vec::new() };
    Second { visits, stalled, own: 1, ..Second::default() }
}

/// Ten visitors a second, and crawlers that come with hundreds for minutes, from few addresses.
fn crawlers(life: &mut Life, second: u64) -> Second {
    let crawl = life.episode(0, second, 10.0, 30, 900);
    let rate = if crawl.is_on(second) { crawl.between(40.0, 400.0) } else { 0.0 };
    let robots = Sources { first: Ipv4Addr::new(66, 249, 64, 0), count: 20 };
    let crawler = visits(poisson(&mut life.random, rate), 0.1, robots);
    let people = life.visits(10.0, 0.06, PEOPLE);
    Second { visits: vec![people, crawler], packets: life.background(0.5), ..Second::default() }
}

/// The program is gone for seconds, ten times a day; its clients come back together, and it is slow to start.
fn deploys(life: &mut Life, second: u64) -> Second {
    let deploy = life.episode(0, second, 10.0, 6, 12);
    let people = life.visits(60.0, 0.04, PEOPLE);
    let quiet = Second { visits: vec![people], packets: life.background(0.5), ..Second::default() };
    match second.saturating_sub(deploy.began) {
        _ if !deploy.is_on(second) => quiet,
        since if since < deploy.until - deploy.began - 3 => Second { gone: vec![BUSY], ..quiet },
        _ => Second { stalled: vec![BUSY], ..quiet },
    }
}

/// Clients 180 to 350 ms away; many at once when a message is pushed to them; one packet in a hundred is lost.
fn far_away(life: &mut Life, second: u64) -> Second {
    let push = life.episode(0, second, 60.0, 1, 4);
    let mut near = Visits { loss: 0.01, ..life.visits(40.0, 0.18, PEOPLE) };
    near.count += 5;
    let far = Visits { loss: 0.02, round_trip: 0.35, ..life.visits(20.0, 0.35, PEOPLE) };
    let mut visits = vec![near, far];
    if push.is_on(second) {
        let count = poisson(&mut life.random, push.between(30.0, 300.0));
        visits.push(Visits { at_once: true, loss: 0.02, ..self::visits(count, 0.3, PEOPLE) });
    }
    Second { visits, packets: life.background(0.5), ..Second::default() }
}

/// Browsers that keep a connection in reserve, and a listener that waits for them to speak.
fn deferred(life: &mut Life, second: u64) -> Second {
    let rate = 5.0 + 60.0 * office_hours(second);
    let burst = life.episode(0, second, 12.0, 10, 60);
    let silent_rate = if burst.is_on(second) { rate * burst.between(0.3, 1.5) } else { rate * 0.2 };
    let talking = life.visits(rate, 0.05, PEOPLE);
    let silent = visits(poisson(&mut life.random, silent_rate), 0.05, PEOPLE);
    let silent = Visits { silent_seconds: life.random.usize(2..12), ..silent };
    Second { visits: vec![talking, silent], packets: life.background(0.5), ..Second::default() }
}

/// A public address that everybody scans, and in whose name others are flooded.
fn noise(life: &mut Life, second: u64) -> Second {
    let scan = life.episode(0, second, 20.0, 5, 60);
    let backscatter = life.episode(1, second, 6.0, 20, 300);
    let acks = life.episode(2, second, 3.0, 10, 120);
    let mass_scan = life.episode(3, second, 4.0, 5, 60);
    let mut packets = life.background(3.0);
    let one = Sources { first: Ipv4Addr::new(45, 1, 2, 3), count: 1 };
    if scan.is_on(second) {
        let port = u16::try_from((second - scan.began) * 300 % 60_000).unwrap_or(1);
        packets.push(life.packets(Stray::ClosedPort(port), scan.between(5.0, 500.0), one));
    }
    if backscatter.is_on(second) {
        let rate = backscatter.between(5.0, 500.0);
        packets.push(life.packets(Stray::SynAck, rate / 3.0, ANYBODY));
        packets.push(life.packets(Stray::Rst, rate * 2.0 / 3.0, ANYBODY));
    }
    if acks.is_on(second) {
        packets.push(life.packets(Stray::Ack, acks.between(5.0, 500.0), ANYBODY));
    }
    if mass_scan.is_on(second) {
        packets.push(life.packets(Stray::Reset(BUSY), mass_scan.between(1.0, 5.0), ANYBODY));
    }
    let people = life.visits(3.0, 0.08, PEOPLE);
    Second { visits: vec![people], packets, ..Second::default() }
}
