//! A fleet that boots, against an account's quotas, in a time of its own.
use std::time::Duration;
use vpcwatch_tests::fleet_boot::{Fleet, sum};
fn main() -> anyhow::Result<()> {
    let mut a = std::env::args().skip(1);
    let n: u32 = a.next().unwrap().parse()?;
    let scope: &'static str = a.next().unwrap().leak();
    let m: u64 = a.next().unwrap().parse()?;
    let h: u64 = a.next().unwrap().parse()?;
    let fleet = Fleet {
        instances: n,
        scope,
        sends: Duration::from_secs(m * 60),
        at_most: Duration::from_secs(h * 3600),
        seed: 1,
    };
    let o = fleet.run()?;
    println!(
        "{:?} {:?} {} alarms {} fed {:?} lost {:?} viol {:?} watched {:?}",
        o.made,
        o.provisioned,
        o.provisioned_count,
        o.alarms,
        o.fed,
        o.lost,
        &o.violations[..o.violations.len().min(5)],
        o.watched
    );
    for (k, c) in &o.calls {
        println!(
            "{k}: {} applied, {} throttled, {} refused, most/s {} first {:?} last {}",
            sum(&c.applied, 0),
            sum(&c.throttled, 0),
            sum(&c.refused, 0),
            c.most(0),
            (0..c.seconds()).find(|s| c.in_second(*s) > 0),
            c.seconds()
        );
    }
    Ok(())
}
