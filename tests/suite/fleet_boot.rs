//! The short form of `fleet-boot`: three hundred instances boot within a minute, in a time of their own, against the quotas of an
//! account. What is random is drawn by a seed, and no time passes here.

use std::time::Duration;

use vpcwatch_tests::fleet_boot::{Calls, Fleet, Outcome, sum};

const INSTANCES: u32 = 300;
/// Refused calls that a fleet may make for each that is taken, when all its instances want more than the account allows. Half of
/// them are expected to be refused (`provision/pace.rs`); those by which the first find out come on top.
const REFUSED: u64 = 2;

fn boot(scope: &'static str, instances: u32) -> Outcome {
    let minutes = Duration::from_mins;
    let fleet = Fleet {
        instances,
        scope,
        // One interval of each instance.
        sends: Duration::from_secs(90),
        watched: Duration::ZERO,
        at_most: minutes(10 * 60),
        seed: 1,
    };
    fleet.run().unwrap()
}

fn calls(outcome: &Outcome, operation: &str) -> Calls {
    outcome.calls.get(operation).cloned().unwrap_or_default()
}

fn taken(outcome: &Outcome, operation: &str) -> u64 {
    sum(&calls(outcome, operation).applied, 0)
}

fn assert_nothing_is_lost(outcome: &Outcome, instances: u32) {
    assert_eq!(outcome.violations, Vec::<String>::new());
    assert!(outcome.fed.0 >= instances.into(), "{:?}", outcome.fed);
    assert_eq!((outcome.fed.0, outcome.lost), (outcome.fed.1, (0, 0)));
    assert_eq!(outcome.provisioned.len(), usize::try_from(instances).unwrap());
    for operation in ["PutMetricData", "PutLogEvents", "CreateLogStream", "CreateLogGroup"] {
        assert_eq!(sum(&calls(outcome, operation).throttled, 0), 0, "{operation}");
    }
}

#[test]
fn one_of_three_hundred_makes_alarms_and_nothing_is_lost_or_throttled() {
    let outcome = boot("fleet", INSTANCES);
    assert_nothing_is_lost(&outcome, INSTANCES);
    assert_eq!(taken(&outcome, "PutMetricAlarm"), outcome.alarms as u64);
    assert_eq!(taken(&outcome, "PutDashboard"), 1);
    // All but one ask whether it is done, once.
    assert_eq!(taken(&outcome, "GetLogEvents"), u64::from(INSTANCES) - 1);
    for (operation, calls) in &outcome.calls {
        assert_eq!(sum(&calls.throttled, 0), 0, "{operation}");
    }
    let streams = calls(&outcome, "CreateLogStream");
    let elections = sum(&streams.applied, 0) - u64::from(INSTANCES);
    assert_eq!(elections, 2, "the one that is voted for, and the one that says that it is done");
    // Who finds the stream there does not try to create it; a few may come before it is.
    assert!(sum(&streams.refused, 0) < u64::from(INSTANCES) / 10);
    let flushes = calls(&outcome, "PutMetricData");
    assert!(flushes.most(0..flushes.seconds()) < INSTANCES / 10, "a herd");
}

#[test]
fn instances_with_alarms_of_their_own_share_what_the_account_allows() {
    let instances = 40;
    let outcome = boot("instance", instances);
    assert_nothing_is_lost(&outcome, instances);
    let puts = calls(&outcome, "PutMetricAlarm");
    let (taken_puts, refused) = (sum(&puts.applied, 0), sum(&puts.throttled, 0));
    assert_eq!(taken_puts, outcome.alarms as u64, "each alarm is put once");
    assert_eq!(taken_puts % u64::from(instances), 0, "each instance has as many");
    assert!(refused < REFUSED * taken_puts, "{refused} refused, {taken_puts} taken");
    assert_eq!(taken(&outcome, "DescribeAlarms"), u64::from(instances), "one look each");
    assert_eq!(taken(&outcome, "PutDashboard"), 1, "all hosts share one");
}
