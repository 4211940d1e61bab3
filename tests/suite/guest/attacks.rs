//! What an attacked host's operator sees in CloudWatch: the package is installed, nothing but what this test has to is
//! configured, and the attackers are outside.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use vpcwatch_tests::fake_aws::StoredDatum;
use vpcwatch_tests::guest::{ALICE, Guest};

use super::packages::package;
use super::watched::{Watched, address};

const ATTACKER: &str = "198.51.100.7";

/// The package in a guest, as its scripts leave it; this is added to the shipped configuration.
fn installed(settings: &str) -> Watched {
    let folder = tempfile::tempdir().unwrap();
    let deb = package("deb", "0.1.0", folder.path());
    let watched = Watched::configured(Guest::boot(&[(deb.as_path(), "/srv/vpcwatch.deb")]).unwrap());
    watched.write("/etc/vpcwatch/conf.d/test.toml", settings);
    watched.guest.shell("dpkg --force-depends --install /srv/vpcwatch.deb 2>&1").unwrap();
    watched
}

/// SYNs to sshd, three hundred a second, each from another address, for five seconds.
fn flood(watched: &Watched) {
    let begun = Instant::now();
    for tenth in 0..50u8 {
        let source = |n: u8| IpAddr::from([198, 18, tenth, n]);
        let sources: Vec<_> = (0..30).map(source).collect();
        watched.guest.network().syns(&sources, address("10.9.0.2"), 22).unwrap();
        let next = begun + Duration::from_millis(100) * (u32::from(tenth) + 1);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// All that was told of this kind, in order.
fn told(watched: &Watched, kind: &str) -> Vec<Value> {
    watched.findings().into_iter().filter(|finding| finding["kind"] == kind).collect()
}

fn is(watched: &Watched, kind: &str, state: &str) -> bool {
    told(watched, kind).iter().any(|finding| finding["state"] == state)
}

/// A metric's data outside of the minute's: one value each.
fn at_once(watched: &Watched, metric: &str) -> Vec<StoredDatum> {
    let mut data = watched.aws().metrics();
    data.retain(|datum| datum.name == metric && matches!(datum.values[..], [(_, 1.0)]));
    data
}

/// One finding, opened and closed, told at once; the metric that follows it, and the alarm that waits for that metric.
#[track_caller]
fn check(watched: &Watched, kind: &str, metric: &str, alarm: &str) {
    let told = told(watched, kind);
    let states: Vec<_> = told.iter().filter(|finding| finding["state"] != "update").collect();
    assert!(
        matches!(states[..], [open, closed] if open["state"] == "open" && closed["state"] == "closed"),
        "{told:#?}"
    );
    assert!(told.iter().all(|finding| finding["id"] == told[0]["id"]), "{told:#?}");
    let data = at_once(watched, metric);
    assert_eq!(data.iter().map(|datum| datum.sum().1).collect::<Vec<_>>(), [1.0]); // its end is left to the minute
    let alarms = watched.aws().alarms();
    let name = format!("vpcwatch-guest-{alarm}");
    let waiting = alarms.iter().find(|waiting| waiting.name == name).unwrap();
    for datum in data {
        assert_eq!(
            (&waiting.metric_name, &waiting.namespace, &waiting.dimensions, waiting.threshold),
            (&datum.name, &datum.namespace, &datum.dimensions, Some(1.0))
        );
    }
}

#[test]
fn a_flood_and_guessed_passwords_reach_cloudwatch_from_an_installed_package_with_their_ends() {
    // A guest is no EC2 instance, where alarms would be made without being asked for.
    let settings = "identity.host = \"guest\"\nlogins.quiet = \"1m\"\nprovision.at_start = true\n";
    let watched = installed(settings);
    // What was logged before the agent read is none of its business: who guesses goes on.
    watched.wait_until("guessed passwords are found", |watched| {
        watched.guest.guess(address(ATTACKER), ALICE.0, 8, 1).unwrap();
        (0..10).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            is(watched, "brute_force", "open")
        })
    });
    flood(&watched);
    watched.wait_until("the flood is found", |watched| is(watched, "syn_flood", "open"));
    watched.wait_until("the flood is over", |watched| is(watched, "syn_flood", "closed"));
    watched.wait_until("the guessing is over", |watched| is(watched, "brute_force", "closed"));

    // Made at the first start.
    watched.wait_until("the dashboard is made, behind the alarms", |watched| {
        !watched.aws().dashboards().is_empty()
    });

    check(&watched, "syn_flood", "syn_flood_active", "syn-flood");
    let flood = told(&watched, "syn_flood").pop().unwrap();
    // By captured packets; the kernel's counters alone would say `sources_unknown`.
    assert_eq!((&flood["verdict"], &flood["where"]["interface"]), (&"spoofed".into(), &"eth0".into()));
    assert_eq!((&flood["where"]["port"], &flood["where"]["unit"]), (&22.into(), &"ssh.service".into()));
    let sources = flood["who"]["distinct_sources"].as_u64().unwrap();
    assert!((1200..=1800).contains(&sources), "1500 sources: {flood:#}");

    check(&watched, "brute_force", "login_brute_force_active", "login-brute-force");
    let guessing = told(&watched, "brute_force").pop().unwrap();
    assert_eq!(guessing["who"]["top_sources"][0]["source"], ATTACKER);
    assert_eq!(guessing["where"]["service"], "sshd");
    assert_eq!(watched.aws().violations(), Vec::<String>::new());
}
