//! Provisioning that is interrupted anywhere, or done by several at once: the next `apply` ends where an undisturbed one does, and
//! what belongs to others stays as it was. A fault strikes each call once, in turn, against the strict fake.

use std::collections::BTreeMap;
use std::process::Output;

use jiff::Timestamp;
use vpcwatch_tests::fake_aws::{FakeAws, Fault, Kind, StoredAlarm, Throttle, Times};

use crate::agent::printed;
use crate::fleet::provision;

/// What an account holds, without when.
#[derive(Debug, Clone, PartialEq)]
struct Held {
    alarms: Vec<StoredAlarm>,
    dashboards: BTreeMap<String, String>,
    groups: BTreeMap<String, Option<i64>>,
}

fn held(aws: &FakeAws) -> Held {
    let mut alarms = aws.alarms();
    for alarm in &mut alarms {
        (alarm.updated, alarm.state_updated) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    }
    Held { alarms, dashboards: aws.dashboards(), groups: aws.groups() }
}

/// An account that holds it; groups are made anew.
fn account(held: &Held) -> FakeAws {
    let aws = FakeAws::start().unwrap();
    held.alarms.iter().for_each(|alarm| aws.put_alarm(alarm.clone()));
    held.dashboards.iter().for_each(|(name, body)| aws.put_dashboard_as_person(name, body));
    aws
}

const NOW: [&str; 3] = ["identity.host=web-1", "metrics.set=essential", "provision.tags=team=network"];
const BEFORE: [&str; 3] = ["identity.host=web-1", "publish.interval=2m", "provision.tags=team=network,old=1"];
const SYN_FLOOD: &str = "vpcwatch-web-1-syn-flood";

fn after_apply(sets: &[&str]) -> Held {
    let aws = FakeAws::start().unwrap();
    printed(&provision(&aws, &["apply"], sets), 0);
    held(&aws)
}

fn named<'a>(held: &'a Held, name: &str) -> &'a StoredAlarm {
    held.alarms.iter().find(|alarm| alarm.name == name).unwrap()
}

/// One account in which everything is to be done: two alarms are missing, one is of an earlier configuration and carries a tag of
/// that and a person's, one is wanted no longer; and two are none of this host's business.
fn unfinished() -> Held {
    let (now, before) = (after_apply(&NOW), after_apply(&BEFORE));
    let mut alarms: Vec<StoredAlarm> = now.alarms.iter().skip(2).cloned().collect();
    alarms.retain(|alarm| alarm.name != SYN_FLOOD);
    let mut old = named(&before, SYN_FLOOD).clone();
    old.tags.push(("mine".into(), "yes".into()));
    old.tags.sort();
    alarms.push(old);
    alarms.push(named(&before, "vpcwatch-web-1-conntrack").clone());
    let mut persons = named(&now, SYN_FLOOD).clone();
    persons.name = "vpcwatch-web-1-of-a-person".into();
    (persons.description, persons.tags) = (Some("mine".into()), Vec::new());
    alarms.push(persons);
    let mut neighbours = named(&now, SYN_FLOOD).clone();
    neighbours.name = "vpcwatch-web-1-b-syn-flood".into();
    neighbours.description =
        neighbours.description.map(|text| text.replace("vpcwatch web-1 ", "vpcwatch web-1-b "));
    alarms.push(neighbours);
    for alarm in &mut alarms {
        let (begin, _) = alarm.arn.rsplit_once(':').unwrap();
        alarm.arn = format!("{begin}:{}", alarm.name);
    }
    Held { alarms, dashboards: BTreeMap::new(), groups: BTreeMap::new() }
}

/// Runs it with each fault at each of its calls, and a second time without; each must end where it ends undisturbed.
fn at_every_call(verb: &'static str, start: &Held, faults: &[(Kind, i32)]) -> Held {
    let undisturbed = account(start);
    printed(&provision(&undisturbed, &[verb], &NOW), 0);
    let (calls, expected) = (undisturbed.requests().len(), held(&undisturbed));
    assert!(calls > 9, "{calls}");
    // They wait more than they work; but a hundred of them at once would be late.
    for faults in faults.chunks(2) {
        std::thread::scope(|scope| {
            for ((kind, code), call) in
                faults.iter().flat_map(|fault| (1..=calls).map(move |call| (fault, call)))
            {
                let (kind, expected) = (kind.clone(), &expected);
                scope.spawn(move || {
                    let aws = account(start);
                    let times = Times::Only(u64::try_from(call).unwrap());
                    aws.fault(Fault { operation: "*", times, kind: kind.clone() });
                    let output = provision(&aws, &[verb], &NOW);
                    let struck = aws.requests()[call - 1].operation.clone();
                    // The dashboard is looked at again before it is put; where that is denied, it is put.
                    let is_spared = struck == "GetDashboard" && output.status.success();
                    let told = printed(&output, if is_spared { 0 } else { *code });
                    aws.clear_faults();
                    printed(&provision(&aws, &[verb], &NOW), 0);
                    let mut held = held(&aws);
                    let is_unset = struck == "PutRetentionPolicy" && *code != 0;
                    let is_unsure = struck == "CreateLogGroup" && matches!(kind, Kind::ResetAfterApplying);
                    if is_unset || is_unsure {
                        // A group that is there is somebody's, and so is for how long it keeps what it holds: so it is said.
                        assert!(told.contains("set its retention to "), "{told}");
                        held.groups.clone_from(&expected.groups);
                    }
                    assert_eq!(&held, expected, "{kind:?} at call {call}, {struck}: {told}");
                    assert_eq!(aws.violations(), Vec::<String>::new());
                });
            }
        });
    }
    expected
}

/// What a network or a service does in passing is waited for, and what a role may not do is told; by its exit code.
fn faults() -> [(Kind, i32); 4] {
    let throttle = Kind::Throttle(Throttle::Throttling);
    [(Kind::Reset, 0), (Kind::ResetAfterApplying, 0), (throttle, 0), (Kind::Deny, 1)]
}

#[test]
fn apply_that_is_disturbed_at_any_call_is_finished_by_the_next() {
    let start = unfinished();
    let done = at_every_call("apply", &start, &faults());
    // What is so must be so.
    let now = after_apply(&NOW);
    assert_eq!((&done.dashboards, &done.groups), (&now.dashboards, &now.groups));
    for name in ["vpcwatch-web-1-of-a-person", "vpcwatch-web-1-b-syn-flood"] {
        assert_eq!(named(&done, name), named(&start, name));
    }
    assert!(!done.alarms.iter().any(|alarm| alarm.name.ends_with("conntrack")));
    assert_eq!(done.alarms.len(), now.alarms.len() + 2);
    let changed = named(&done, SYN_FLOOD);
    let tags: Vec<String> = changed.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(tags, ["mine=yes", "team=network", "vpcwatch:owner=web-1", "vpcwatch:tags=team"]);
    let untagged = StoredAlarm { tags: Vec::new(), ..changed.clone() };
    assert_eq!(untagged, StoredAlarm { tags: Vec::new(), ..named(&now, SYN_FLOOD).clone() });
}

#[test]
fn destroy_that_is_disturbed_at_any_call_is_finished_by_the_next() {
    let done = at_every_call("destroy", &after_apply(&NOW), &faults());
    assert!(done.alarms.is_empty() && done.dashboards.is_empty());
}

#[test]
fn how_long_a_group_keeps_what_it_holds_is_its_owners_also_where_an_answer_is_lost() {
    let aws = account(&Held { alarms: Vec::new(), dashboards: BTreeMap::new(), groups: BTreeMap::new() });
    aws.create_stream("/vpcwatch/findings", "of an owner who keeps it for ever");
    aws.fault(Fault::next("CreateLogGroup", 1, Kind::ResetAfterApplying));
    printed(&provision(&aws, &["apply"], &NOW), 0);
    assert_eq!(aws.groups()["/vpcwatch/findings"], None);
}

#[test]
fn what_is_deleted_between_a_look_and_the_deed_is_made_anew_or_gone() {
    let gone = |aws: &FakeAws| {
        let kind = Kind::Error {
            status: 404,
            code: "ResourceNotFoundException".into(),
            message: "The resource does not exist".into(),
        };
        aws.fault(Fault::always("ListTagsForResource", kind));
    };
    let start = unfinished();
    let aws = account(&start);
    gone(&aws);
    let told = printed(&provision(&aws, &["apply"], &NOW), 0);
    assert!(told.contains(&format!("changed {SYN_FLOOD}")) && !told.contains("conntrack"), "{told}");
    assert_eq!(aws.requests().iter().filter(|request| request.operation == "DeleteAlarms").count(), 0);
    let aws = account(&after_apply(&NOW));
    gone(&aws);
    printed(&provision(&aws, &["destroy"], &NOW), 0);
}

#[test]
fn several_at_once_end_as_one_and_none_of_them_complains() {
    let both = |aws: &FakeAws, verb: &'static str, sets: [&[&str]; 2]| {
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let running = sets.map(|sets| scope.spawn(move || provision(aws, &[verb], sets)));
            running.map(|running| running.join().unwrap()).into()
        });
        for output in outputs {
            let told = printed(&output, 0);
            assert!(!told.contains("failed:") && !told.contains("changed by"), "{told}");
        }
    };
    let instances: [&[&str]; 2] = [
        &["identity.host=web-1", "metrics.set=essential"],
        &["identity.host=web-2", "metrics.set=essential"],
    ];
    let fleets: [&[&str]; 2] = [
        &["identity.host=web-1", "metrics.set=essential", "provision.scope=fleet"],
        &["identity.host=web-2", "metrics.set=essential", "provision.scope=fleet"],
    ];
    // Two hosts beside each other share the dashboard and the groups; two commands of one host, and two hosts of a fleet, all.
    for sets in [instances, [instances[0]; 2], fleets] {
        let (alone, aws) = (FakeAws::start().unwrap(), FakeAws::start().unwrap());
        for sets in sets {
            printed(&provision(&alone, &["apply"], sets), 0);
        }
        both(&aws, "apply", sets);
        assert_eq!(held(&aws), held(&alone));
        for sets in sets {
            assert!(printed(&provision(&aws, &["apply"], sets), 0).starts_with("nothing to do"));
        }
        both(&aws, "destroy", sets);
        assert!(aws.alarms().is_empty() && aws.dashboards().is_empty());
        assert_eq!(aws.violations(), Vec::<String>::new());
    }
}
