//! Logs of logins as hosts have them, seeded: ordinary days, and attacks within them. Each attempt is told as sshd and PAM
//! tell it, in up to four lines.

use std::net::{IpAddr, Ipv4Addr};

use fastrand::Rng;
use jiff::Timestamp;
use vpcwatch::model::login::{Count, Login, Outcome};

/// When every scene begins: 2027-01-15T08:00:00Z.
pub const BEGIN: i64 = 1_800_000_000;

/// A log and what is true of it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Its lines, in order.
    pub logins: Vec<Login>,
    /// Attempts that failed.
    pub failures: u64,
    /// Findings that must be opened, and no others.
    pub expected: Vec<Expected>,
}

/// A finding that must be opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Its kind.
    pub kind: &'static str,
    /// Its address, where there is one.
    pub source: Option<IpAddr>,
    /// When, at the latest: seconds after the beginning.
    pub by: f64,
}

/// A name and how to make the scene of a seed.
pub type Row = (&'static str, fn(u64) -> Scene);

/// Every scene.
pub const SCENES: [Row; 22] = [
    ("office day", |seed| Host::new(seed).day(24.0).scene()),
    ("office behind one address", |seed| Host::new(seed).day(6.0).behind_one_address(6.0).scene()),
    ("monitors and jobs with keys", |seed| Host::new(seed).day(6.0).monitors(6.0).scene()),
    ("someone mistypes again and again", |seed| Host::new(seed).day(4.0).mistyping().scene()),
    ("broken job", |seed| Host::new(seed).day(6.0).broken_job().scene()),
    ("broken job that is mended", |seed| Host::new(seed).day(6.0).mended_job().scene()),
    ("brute force, 2.5 s", |seed| Host::new(seed).day(2.0).brute_force(2.5, 60).scene()),
    ("brute force, ten a second", |seed| Host::new(seed).day(2.0).brute_force(0.1, 600).scene()),
    ("brute force, 9 s", |seed| Host::new(seed).day(2.0).brute_force(9.0, 200).scene()),
    ("brute force, 45 s", |seed| Host::new(seed).day(3.0).brute_force(45.0, 60).scene()),
    ("brute force for seven hours", |seed| Host::new(seed).day(8.0).brute_force(20.0, 1260).scene()),
    ("users that look like addresses", |seed| Host::new(seed).day(2.0).injection().scene()),
    ("slow, 150 s", |seed| Host::new(seed).day(6.0).slow(150.0, 0.3, 100).scene()),
    ("slow, 330 s", |seed| Host::new(seed).day(6.0).slow(330.0, 0.25, 60).scene()),
    ("slow, 10 min", |seed| Host::new(seed).day(6.0).slow(600.0, 0.1, 30).scene()),
    ("spray", |seed| Host::new(seed).day(2.0).spray(6.0, 1).scene()),
    ("spray, two passwords a user", |seed| Host::new(seed).day(2.0).spray(40.0, 2).scene()),
    ("distributed on one user", |seed| Host::new(seed).day(4.0).on_one_user().scene()),
    ("distributed spray", |seed| Host::new(seed).day(4.0).distributed_spray().scene()),
    ("brute force, then in", |seed| Host::new(seed).day(2.0).brute_force(4.0, 25).gets_in(4.0).scene()),
    ("slow, then in", |seed| Host::new(seed).day(8.0).slow(380.0, 0.25, 68).gets_in(420.0).scene()),
    ("distributed, then in", |seed| Host::new(seed).day(4.0).on_one_user().stranger_gets_in().scene()),
];

const PEOPLE: [&str; 12] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "deploy", "ec2-user",
];
const NO_USERS: [&str; 24] = [
    "admin",
    "test",
    "oracle",
    "postgres",
    "ubuntu",
    "guest",
    "pi",
    "hadoop",
    "jenkins",
    "tomcat",
    "www",
    "ftp",
    "git",
    "nagios",
    "mysql",
    "user",
    "support",
    "dev",
    "minecraft",
    "steam",
    "elastic",
    "es",
    "vagrant",
    "ansible",
];

/// A host while its day is made up.
#[derive(Debug)]
pub struct Host {
    random: Rng,
    lines: Vec<(f64, Login)>,
    failures: u64,
    expected: Vec<Expected>,
    pid: u32,
    attacker: IpAddr,
    target: &'static str,
    last: f64,
}

impl Host {
    /// Nothing happened yet.
    pub fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let attacker = public(&mut random);
        Host {
            random,
            lines: Vec::new(),
            failures: 0,
            expected: Vec::new(),
            pid: 3000,
            attacker,
            target: "alice",
            last: 0.0,
        }
    }

    /// The log.
    pub fn scene(mut self) -> Scene {
        self.lines.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let logins = self.lines.into_iter().map(|(_, login)| login).collect();
        Scene { logins, failures: self.failures, expected: self.expected }
    }

    /// People who log in with keys and passwords and mistype now and then, and the Internet's noise: one attempt of one
    /// address.
    pub fn day(mut self, hours: f64) -> Self {
        let seconds = hours * 3600.0;
        for _ in 0..whole(hours * 12.0) {
            let (at, user) = (self.random.f64() * seconds, self.person());
            let source = self.inside();
            self.success(at, user, source, "publickey");
        }
        for _ in 0..whole(hours * 2.0) {
            let (at, user, source) = (self.random.f64() * seconds, self.person(), self.inside());
            self.mistype(at, user, source);
        }
        for _ in 0..whole(hours * 3.0) {
            let (at, user) = (self.random.f64() * seconds, self.nobody());
            let source = public(&mut self.random);
            self.fail(at, user, false, source);
        }
        self
    }

    /// Forty people behind one address, on a Monday morning.
    pub fn behind_one_address(mut self, hours: f64) -> Self {
        let office = IpAddr::from([203, 0, 113, 77]);
        self.success(1.0, "deploy", office, "publickey");
        for _ in 0..whole(hours * 14.0) {
            let (at, user) = (self.random.f64() * hours * 3600.0, self.person());
            if self.random.f64() < 0.25 {
                self.mistype(at, user, office);
            } else {
                self.success(at, user, office, "password");
            }
        }
        self
    }

    /// Logins by key each minute, and each ten minutes.
    pub fn monitors(mut self, hours: f64) -> Self {
        for minute in 0..whole(hours * 60.0) {
            let at = float(minute) * 60.0;
            self.success(at + 1.0, "nagios", [10, 20, 0, 5].into(), "publickey");
            if minute % 10 == 0 {
                self.success(at + 9.0, "backup", [10, 20, 0, 6].into(), "publickey");
            }
        }
        self
    }

    /// Three wrong passwords and the right one, five times in four hours.
    pub fn mistyping(mut self) -> Self {
        let source = self.inside();
        for time in 0..5 {
            let at = 600.0 + float(time) * 2700.0 + self.random.f64() * 600.0;
            (0..3).for_each(|n| self.fail(at + float(n) * 12.0, "carol", true, source));
            self.success(at + 45.0, "carol", source, "password");
        }
        self
    }

    /// A job inside with a wrong password, every five minutes.
    pub fn broken_job(mut self) -> Self {
        let source = IpAddr::from([10, 20, 7, self.random.u8(1..250)]);
        let (gap, jitter) = (240.0 + self.random.f64() * 600.0, self.random.f64() * 5.0);
        let times = whole(5.8 * 3600.0 / gap);
        for time in 0..times {
            let at = 7.0 + float(time) * gap + self.random.f64() * jitter;
            self.fail(at, "backup", true, source);
        }
        self.expect("repeated_failure_internal", Some(source), 7.0 + gap * 13.0 + 60.0);
        self
    }

    fn mended_job(mut self) -> Self {
        let source = IpAddr::from([10, 20, 7, 9]);
        (0..30).for_each(|time| self.fail(float(time) * 300.0, "backup", true, source));
        (30..60).for_each(|time| self.success(float(time) * 300.0, "backup", source, "password"));
        self.expect("repeated_failure_internal", Some(source), 3600.0);
        self
    }

    /// One address on one user.
    pub fn brute_force(mut self, gap: f64, times: u64) -> Self {
        let begin = 600.0 + self.random.f64() * 900.0;
        let (attacker, user) = (self.attacker, self.target);
        let mut told = Vec::new();
        for time in 0..times {
            let at = begin + float(time) * gap;
            self.fail(at, user, true, attacker);
            told.push(at);
        }
        self.last = begin + float(times) * gap;
        // Six within a minute or ten within ten.
        let completes = told.iter().find(|at| {
            let since =
                |span: f64| told.iter().filter(|one| *one <= *at && **at - **one < span - 1.0).count();
            since(60.0) >= 6 || since(600.0) >= 10
        });
        let by = completes.map_or(self.last, |at| at + 5.0);
        self.expect("brute_force", Some(attacker), by);
        self
    }

    fn injection(mut self) -> Self {
        let attacker = self.attacker;
        (0..30).for_each(|time| {
            self.fail(900.0 + float(time) * 3.0, "x from 10.20.0.9 port 22 ssh2", false, attacker);
        });
        self.expect("brute_force", Some(attacker), 900.0 + 15.0 + 5.0);
        self
    }

    /// One address that takes its time.
    pub fn slow(mut self, gap: f64, jitter: f64, times: u64) -> Self {
        let (attacker, begin) = (self.attacker, 600.0);
        let mut at = begin;
        for _ in 0..times {
            self.fail(at, self.target, true, attacker);
            at += gap * (1.0 + jitter * (2.0 * self.random.f64() - 1.0));
        }
        self.last = at;
        self.expect("slow_brute_force", Some(attacker), begin + 90.0 * 60.0);
        self
    }

    /// One address on one user after the other.
    pub fn spray(mut self, gap: f64, each: u64) -> Self {
        let attacker = self.attacker;
        let mut users: Vec<(&'static str, bool)> = PEOPLE.map(|name| (name, true)).into();
        users.extend(NO_USERS.map(|name| (name, false)));
        self.random.shuffle(&mut users);
        let begin = 1200.0;
        let mut number = 0;
        for (user, is_user) in users.iter().take(32).copied() {
            for _ in 0..each {
                self.fail(begin + float(number) * gap, user, is_user, attacker);
                number += 1;
            }
        }
        self.last = begin + float(number) * gap;
        self.expect("password_spray", Some(attacker), begin + float(5 * each) * gap + 5.0);
        self
    }

    /// A hundred addresses on one user, each a few times an hour.
    pub fn on_one_user(mut self) -> Self {
        let sources: Vec<IpAddr> = (0..120).map(|_| public(&mut self.random)).collect();
        self.target = "ec2-user";
        for _ in 0..690 {
            let at = 300.0 + self.random.f64() * 14_000.0;
            let source = self.one_of(&sources);
            self.fail(at, self.target, true, source);
        }
        self.expect("distributed_brute_force", None, 300.0 + 20.0 * 60.0);
        self
    }

    /// A hundred and fifty addresses on everybody.
    pub fn distributed_spray(mut self) -> Self {
        let sources: Vec<IpAddr> = (0..150).map(|_| public(&mut self.random)).collect();
        for _ in 0..910 {
            let at = 300.0 + self.random.f64() * 14_000.0;
            let source = self.one_of(&sources);
            let is_user = self.random.bool();
            let user = if is_user { self.person() } else { self.nobody() };
            self.fail(at, user, is_user, source);
        }
        self.expect("distributed_spray", None, 300.0 + 20.0 * 60.0);
        self
    }

    /// The attacker has found the password.
    pub fn gets_in(mut self, after: f64) -> Self {
        let at = self.last + after;
        self.success(at, self.target, self.attacker, "password");
        self.expect("success_after_failures", Some(self.attacker), at);
        self
    }

    fn stranger_gets_in(mut self) -> Self {
        let at = 12_000.0;
        self.success(at, self.target, self.attacker, "password");
        self.expect("success_after_failures", Some(self.attacker), at);
        self
    }

    fn expect(&mut self, kind: &'static str, source: Option<IpAddr>, by: f64) {
        self.expected.push(Expected { kind, source, by });
    }

    #[expect(clippy::indexing_slicing, reason = "a place below the length")]
    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.random.usize(..these.len())]
    }

    fn person(&mut self) -> &'static str {
        self.one_of(&PEOPLE)
    }

    fn nobody(&mut self) -> &'static str {
        self.one_of(&NO_USERS)
    }

    fn inside(&mut self) -> IpAddr {
        IpAddr::from([10, 20, self.random.u8(0..4), self.random.u8(1..250)])
    }

    fn mistype(&mut self, at: f64, user: &'static str, source: IpAddr) {
        let times = self.random.u64(1..=2);
        (0..times).for_each(|time| self.fail(at + float(time) * 9.0, user, true, source));
        self.success(at + float(times) * 9.0 + 4.0, user, source, "password");
    }

    fn success(&mut self, at: f64, user: &str, source: IpAddr, method: &'static str) {
        let line = self.connection(user, true, source);
        let line = Login { outcome: Outcome::Success, method: Some(method.into()), ..line };
        self.write(at, line);
    }

    /// One attempt on a connection of its own, as sshd and PAM tell of it.
    pub fn fail(&mut self, at: f64, user: &str, is_user: bool, source: IpAddr) {
        self.failures += 1;
        let line = self.connection(user, is_user, source);
        let pam = Login { count: Count::Pam(1), is_known_user: None, ..line.clone() };
        let sign = Login { count: Count::Sign, method: None, ..line.clone() };
        if is_user {
            self.write(at, pam);
        } else {
            self.write(at, sign.clone());
            self.write(at + 0.01, Login { user: None, ..pam });
        }
        self.write(at + 0.02, line);
        self.write(at + 0.03, sign);
    }

    fn connection(&mut self, user: &str, is_user: bool, source: IpAddr) -> Login {
        self.pid = if self.pid > 9000 { 3000 } else { self.pid + 1 };
        Login {
            time: Timestamp::UNIX_EPOCH,
            service: "sshd".into(),
            pid: Some(self.pid),
            source: Some(source),
            port: Some(self.random.u16(1024..)),
            user: Some(user.to_owned()),
            is_known_user: Some(is_user),
            outcome: Outcome::Failure,
            method: Some("password".into()),
            count: Count::Daemon(1),
            rule: "sshd.scene",
            is_trusted: true,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "seconds of a day")]
    fn write(&mut self, at: f64, login: Login) {
        let time = Timestamp::from_second(BEGIN + at as i64).unwrap_or_default();
        self.lines.push((at, Login { time, ..login }));
    }
}

fn public(random: &mut Rng) -> IpAddr {
    Ipv4Addr::new(random.u8(20..100), random.u8(..), random.u8(..), random.u8(1..)).into()
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]
fn whole(value: f64) -> u64 {
    value as u64
}
