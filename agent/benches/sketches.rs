//! What the sketches cost: `cargo bench --bench sketches`.
#![expect(clippy::print_stdout, reason = "prints its measurement")]

use std::any::Any;
use std::hint::black_box;
use std::net::Ipv4Addr;

use rustix::time::{ClockId, clock_gettime};
use vpcwatch::detectors::sketches::{
    Collisions, Distinct, HeavyHitters, KnownSources, ScanLimits, Scanners, SourceKey,
};

const ADDS: u32 = 2_000_000;
/// Copies of each sketch, so that its memory stands out.
const COPIES: usize = 50;
const SEED: u64 = 42;

fn main() {
    // Kept to the end, so that no sketch moves into what another has left.
    let mut kept: Vec<Box<dyn Any>> = Vec::new();
    let kept = &mut kept;
    measure(kept, "Distinct", || Distinct::new(SEED), |sketch, number| sketch.insert(source(number)));
    for capacity in [64, 256] {
        let name = format!("HeavyHitters of {capacity}");
        measure(
            kept,
            &name,
            || HeavyHitters::new(SEED, capacity),
            |sketch, number| sketch.add(source(number), 1),
        );
    }
    measure(kept, "Collisions", || Collisions::new(SEED), |sketch, number| sketch.offer(source(number)));
    for ports in [15, 1024] {
        let limits = ScanLimits { ports, ..ScanLimits::default() };
        let probe = |sketch: &mut Scanners, number| sketch.observe(source(number), port(number), 1_000);
        measure(kept, &format!("Scanners of {ports}, a flood"), || Scanners::new(SEED, limits), probe);
        let scan = |sketch: &mut Scanners, number| {
            sketch.observe(source(number / 2_048 % 1_100), port(number), 1_000);
        };
        measure(kept, &format!("Scanners of {ports}, scans"), || Scanners::new(SEED, limits), scan);
    }
    measure(
        kept,
        "KnownSources",
        || KnownSources::new(SEED, 60),
        |sketch, number| {
            sketch.learn(source(number / 100));
            if number == ADDS / 2 {
                sketch.learned_for(60);
            }
        },
    );
    readings();
    missed_scans();
}

fn source(number: u32) -> SourceKey {
    SourceKey::Address(Ipv4Addr::from_bits(number))
}

fn port(number: u32) -> u16 {
    u16::try_from(number % 65_536).unwrap_or_default()
}

/// Fills copies of a sketch with as many sources as there are adds: what an attacker would do.
fn measure<S: 'static>(
    kept: &mut Vec<Box<dyn Any>>,
    name: &str,
    new: impl Fn() -> S,
    add: impl Fn(&mut S, u32),
) {
    let before = resident();
    let mut copies: Vec<S> = (0..COPIES).map(|_| new()).collect();
    for copy in &mut copies {
        (0..ADDS / 8).for_each(|number| add(copy, number));
    }
    let bytes = resident().saturating_sub(before) / COPIES;
    let mut sketch = new();
    let started = cpu_seconds();
    (0..ADDS).for_each(|number| add(&mut sketch, number));
    let nanoseconds = (cpu_seconds() - started) * 1e9 / f64::from(ADDS);
    kept.push(Box::new(black_box((copies, sketch))));
    println!("{name}: {nanoseconds:.0} ns an add, {:.1} M/s; {bytes} B resident", 1e3 / nanoseconds);
}

fn readings() {
    let mut distinct = Distinct::new(SEED);
    let mut heavy = HeavyHitters::new(SEED, 256);
    let mut collisions = Collisions::new(SEED);
    let mut scanners = Scanners::new(SEED, ScanLimits::default());
    for number in 0..ADDS {
        distinct.insert(source(number));
        heavy.add(source(number), 1);
        collisions.offer(source(number));
        scanners.observe(source(number), port(number), 1_000);
    }
    read("Distinct::estimate", || distinct.estimate());
    read("HeavyHitters::top(10)", || heavy.top(10).len() as u64);
    read("Collisions::reading", || collisions.reading().colliding_pairs);
    read("Scanners::scans", || scanners.scans(1_000).len() as u64);
}

fn read(name: &str, reading: impl Fn() -> u64) {
    let started = cpu_seconds();
    (0..1_000).for_each(|_| {
        black_box(reading());
    });
    println!("{name}: {:.1} us", (cpu_seconds() - started) * 1e3);
}

/// Scans of so many ports amid so many forged sources for each probe.
fn missed_scans() {
    const RUNS: u32 = 100;
    for (ports, flood) in [(30, 100), (30, 1_000), (30, 2_000), (30, 5_000), (100, 2_000), (100, 5_000)] {
        let missed = (0..RUNS).filter(|seed| is_missed(u64::from(*seed), ports, flood)).count();
        println!("scan of {ports} ports, {flood} forged sources for each probe: {missed} of {RUNS} missed");
    }
}

fn is_missed(seed: u64, ports: u16, flood: u32) -> bool {
    let scanner = SourceKey::Prefix(1);
    let mut scanners = Scanners::new(seed, ScanLimits::default());
    let mut forged = 0..u32::MAX;
    for port in 0..ports {
        forged.by_ref().take(flood as usize).for_each(|number| scanners.observe(source(number), 443, 1_000));
        scanners.observe(scanner, port, 1_000);
    }
    scanners.scans(1_000).is_empty()
}

/// CPU time of this thread: what else runs on the machine matters less.
#[expect(clippy::cast_precision_loss, reason = "a benchmark's seconds")]
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
