//! A real flood, what the running agent really sent of it, and what CloudWatch's alarm makes of that. In real time it takes
//! minutes (`tests/load/alarm_on_flood.sh`); here the agent sends each second and is stopped when the finding is closed.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use vpcwatch_tests::alarm_evaluator::{Habits, Metrics, State};
use vpcwatch_tests::fake_aws::FakeAws;
use vpcwatch_tests::flooded_host::FloodedHost;

use crate::agent::PATH;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn a_flood_is_told_of_before_its_alarm_rings_once() {
    let mut host = FloodedHost::start(Path::new(PATH), &["--set", "publish.interval=1s"]).unwrap();
    let beats =
        |aws: &FakeAws| aws.metrics().iter().filter(|datum| datum.name == "netstat_tcp_established").count();
    let is_ready = |aws: &FakeAws| beats(aws) > 2 && host.alarm("syn-flood").is_some();
    host.aws().wait_for("heartbeats and alarms", PATIENCE, is_ready).unwrap();

    let (first_syn, last_syn) = host.flood(8).unwrap();
    let is_closed = |_: &FakeAws| !host.told("closed").unwrap().is_empty();
    host.aws().wait_for("the end of the finding", PATIENCE, is_closed).unwrap();
    host.stop().unwrap();

    let (opened, closed) = (host.told("open").unwrap(), host.told("closed").unwrap());
    assert_eq!((opened.len(), closed.len()), (1, 1), "{opened:?}");
    assert_eq!(opened[0].finding["kind"], "syn_flood");
    let delay = opened[0].at.duration_since(first_syn);
    assert!(delay.is_positive() && delay < SignedDuration::from_secs(30), "told after {delay:?}");

    let (alarm, data) = (host.alarm("syn-flood").unwrap(), host.aws().arrivals());
    let from = data.iter().map(|arrival| arrival.at).min().unwrap();
    let metrics = Metrics::new(data);
    for further in [1, 2] {
        for second in 0..60 {
            let habits = Habits { further, second };
            let until = last_syn + SignedDuration::from_mins(15);
            let changes = metrics.changes(&alarm, habits, from, until).unwrap();
            let rings: Vec<_> = changes.iter().filter(|change| change.to == State::Alarm).collect();
            let [ring] = rings[..] else { panic!("{habits:?}: {changes:?}") };
            // Metric and event go at the same time, each on its own way.
            let order = ring.at.duration_since(opened[0].at);
            assert!(order > SignedDuration::from_secs(-2), "{habits:?}: {changes:?}");
            let after = ring.at.duration_since(first_syn);
            assert!(after.is_positive() && after <= SignedDuration::from_mins(3), "{habits:?}: {changes:?}");
            // Nothing comes any more: the last minute is looked at until it is out of range.
            let over = changes.last().unwrap();
            let limit = SignedDuration::from_mins(5);
            assert!(over.to == State::Ok && over.at.duration_since(closed[0].at) <= limit, "{changes:?}");
        }
    }
    assert_eq!(host.aws().violations(), Vec::<String>::new());
}
