//! Two copies of one image, each with metadata of its own: two hosts that share nothing, each with its alarms, once.

use vpcwatch_tests::fake_imds::FakeImds;
use vpcwatch_tests::guest::Guest;

use super::watched::Watched;

/// A copy that was just started from the image: the agent is installed and enabled, and has never run.
fn copy(id: &str) -> (Watched, FakeImds) {
    let guest = Guest::boot(&Watched::package()).unwrap();
    let imds = guest.network().host.inside(FakeImds::start).unwrap();
    imds.change(|instance| {
        id.clone_into(&mut instance.id);
        instance.lifecycle_state = None; // of no Auto Scaling group
    });
    let mut watched = Watched::with_environment(guest, &imds.environment());
    watched.unpack();
    watched.write(
        "/etc/vpcwatch/vpcwatch.toml",
        "publish.interval = \"1s\"\nprovision.at_start = true\nlogins.source = \"off\"\n",
    );
    watched
        .guest
        .shell(
            "systemd-sysusers && systemd-tmpfiles --create vpcwatch.conf && systemctl preset vpcwatch 2>&1",
        )
        .unwrap();
    watched.guest.shell("test ! -e /var/lib/vpcwatch && ! systemctl is-active vpcwatch").unwrap();
    watched.guest.reboot().unwrap();
    (watched, imds)
}

fn puts(watched: &Watched) -> usize {
    watched.aws().requests().iter().filter(|request| request.operation == "PutMetricAlarm").count()
}

/// Waits until it has its alarms, and sends.
fn wait_until_provisioned(watched: &Watched, id: &str) {
    let sends = |watched: &Watched| {
        let own = ("InstanceId".to_owned(), id.to_owned());
        let heartbeats: Vec<_> =
            watched.aws().metrics().into_iter().filter(|d| d.name == "netstat_tcp_established").collect();
        !heartbeats.is_empty() && heartbeats.iter().all(|datum| datum.dimensions == [own.clone()])
    };
    watched.wait_until("it sends as itself, and nothing as another", sends);
    // Made behind the alarms.
    watched.wait_until("the dashboard is made", |watched| !watched.aws().dashboards().is_empty());
}

#[test]
fn two_copies_of_an_image_are_two_hosts() {
    let ids = ["i-0aaaaaaaaaaaaaaaa", "i-0bbbbbbbbbbbbbbbb"];
    let mut copies = ids.map(copy);
    for ((watched, _), id) in copies.iter().zip(ids) {
        wait_until_provisioned(watched, id);
        let alarms = watched.aws().alarms();
        assert!(alarms.iter().all(|alarm| alarm.name.starts_with(&format!("vpcwatch-{id}-"))));
        assert_eq!(puts(watched), alarms.len(), "each once");
    }
    // The second boot of one is no first run.
    let [(watched, _), _] = &mut copies;
    watched.wait_until("the mark is written", |watched| {
        watched.guest.shell("journalctl -u vpcwatch | grep -q 'everything is as it should be'").is_ok()
    });
    let (before, sent) = (puts(watched), watched.aws().metrics().len());
    watched.guest.reboot().unwrap();
    watched.wait_until("it sends again", |watched| watched.aws().metrics().len() > sent + 20);
    assert_eq!(puts(watched), before);
    // Nothing of either is in the other.
    for ((watched, _), id) in copies.iter().zip(ids) {
        let other = ids.into_iter().find(|other| *other != id).unwrap();
        assert!(watched.guest.shell(&format!("! grep -rq {other} /var/lib/vpcwatch /run/vpcwatch")).is_ok());
        assert_eq!(watched.aws().violations(), Vec::<String>::new());
    }
}
