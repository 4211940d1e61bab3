//! The journal of a real unit, shipped by the installed service: each event once, whatever is killed.

use vpcwatch_tests::guest::Guest;

use super::watched::Watched;

const GROUP: &str = "/vpcwatch/logs";
const STREAM: &str = "guest/shop";
const LOG: &str = "[[logs.ship]]\nname = \"shop\"\nunits = [\"shop.service\"]\nfirst_line = \"^request \"\n";
/// Each start writes so many requests of two lines each.
const REQUESTS: usize = 50;

/// The unit tells of its requests, once for each start.
fn shop(watched: &Watched) {
    let script = format!("for n in $(seq {REQUESTS}); do echo \"request $n\"; echo '  of somebody'; done");
    watched.write("/usr/local/bin/shop", &script);
    let unit = "[Service]\nType=oneshot\nExecStart=/bin/sh /usr/local/bin/shop\n";
    watched.write("/etc/systemd/system/shop.service", unit);
    watched.guest.shell("systemctl daemon-reload").unwrap();
}

#[test]
fn entries_of_a_unit_arrive_once_though_the_agent_is_killed() {
    let watched = Watched::installed(Guest::boot(&Watched::package()).unwrap(), LOG);
    shop(&watched);
    let sell = || watched.guest.shell("systemctl start shop.service").unwrap();
    watched
        .wait_until("the journal is shipped", |watched| watched.messages().contains("log shop (the journal"));
    // Nothing is on its way while the agent is killed, or that might come twice.
    watched.aws().down();
    sell();
    watched.kill_agent();
    sell();
    watched.start_agent();
    watched.guest.network().host.inside(|| watched.aws().up()).unwrap();
    sell();
    let arrived = || watched.aws().events(GROUP, STREAM);
    let told = |text: &str| arrived().iter().filter(|event| event.message.contains(text)).count();
    watched.wait_until("all has arrived", |_| told("request ") >= 3 * REQUESTS);
    assert_eq!((told("request "), told("request 7\n  of somebody")), (3 * REQUESTS, 3));
    // What systemd says of the unit is no part of them.
    watched
        .wait_until("what systemd says", |_| told("systemd[1]: ") >= 3 && told("Finished shop.service") == 3);
}
