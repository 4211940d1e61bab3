//! The shipped unit, user, folders and preset, installed by hand in a guest: the agent does all its work inside the sandbox,
//! the sandbox denies all else, and whatever befalls the agent it comes back.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use vpcwatch_tests::fake_aws::FakeAws;
use vpcwatch_tests::fake_imds::FakeImds;
use vpcwatch_tests::guest::{ALICE, Guest};

use super::wait_until;
use super::watched::{Watched, address};

const ATTACKER: &str = "198.51.100.7";

fn installed(settings: &str) -> Watched {
    Watched::installed(Guest::boot(&Watched::package()).unwrap(), settings)
}

/// What systemd knows of the service.
fn show(watched: &Watched, property: &str) -> String {
    let show = format!("systemctl show --value --property={property} vpcwatch.service");
    watched.guest.shell(&show).unwrap().trim().to_owned()
}

fn status(watched: &Watched) -> Value {
    let told = watched.guest.shell("vpcwatch status --output json || true").unwrap();
    serde_json::from_str(&told).unwrap_or_default()
}

/// Waits until nothing is wrong, of nobody's making, and data arrives.
#[track_caller]
fn wait_until_healthy(watched: &Watched) {
    watched.wait_until("the agent is healthy and has sent", |watched| {
        let told = status(watched);
        told["healthy"] == true && !told["delivery"]["last_publish"].is_null()
    });
    let told = status(watched);
    assert_eq!((&told["troubles"], &told["sources"]), (&serde_json::json!({}), &serde_json::json!({})));
    watched.guest.shell("vpcwatch status").unwrap();
}

/// Runs a script as the service: its user, its sandbox, instead of the agent. Gives its exit code.
fn try_inside(watched: &Watched, script: &str) -> String {
    try_inside_as(watched, "vpcwatch", script)
}

/// The same as another user.
fn try_inside_as(watched: &Watched, user: &str, script: &str) -> String {
    watched.stop_agent();
    watched.write("/usr/local/bin/try", script);
    watched.drop_in(
        "try.conf",
        &format!(
            "[Service]\nUser={user}\nType=oneshot\nRestart=no\nWatchdogSec=0\n\
             ExecStart=\nExecStart=-/bin/sh /usr/local/bin/try\n"
        ),
    );
    watched.guest.shell("systemctl start vpcwatch").unwrap();
    show(watched, "ExecMainStatus")
}

#[test]
fn a_brute_force_and_half_open_connections_reach_cloudwatch_from_inside_the_sandbox() {
    let watched = installed("").reading();
    wait_until_healthy(&watched);
    // Ready by its own word, and still by it: a unit of type notify is not active before.
    assert_eq!((show(&watched, "Type"), show(&watched, "User")), ("notify".into(), "vpcwatch".into()));
    assert_eq!(show(&watched, "StatusText"), "watching guest, sending to eu-west-3");
    assert_eq!(
        watched.guest.shell("id --name --groups vpcwatch").unwrap().trim(),
        "vpcwatch adm systemd-journal",
    );
    let pid = show(&watched, "MainPID");
    let held =
        watched.guest.shell(&format!("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/{pid}/status")).unwrap();
    let cap_net_raw = "0000000000002000";
    for word in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(held.contains(&format!("{word}:\t{cap_net_raw}")), "{held}");
    }
    assert!(held.contains("NoNewPrivs:\t1") && held.contains("Seccomp:\t2"), "{held}");

    // Everybody's sockets, packets, the journal.
    let _client = watched.guest.network().peer.inside(|| Ok(TcpStream::connect("10.9.0.2:22")?)).unwrap();
    watched.wait_until("a connection is told of", |watched| watched.sum("netstat_tcp_established") > 0);
    watched.wait_until("a SYN is captured", |watched| watched.sum("syn_received") > 0);
    watched.guest.guess(address(ATTACKER), ALICE.0, 8, 1).unwrap();
    watched.wait_until("the attacker is named", |watched| {
        watched.opened().contains(&("brute_force".into(), "warning".into(), ATTACKER.into()))
    });

    // Ceilings; a guest's kernel does not hold them.
    let ceilings = ["MemoryMax", "MemoryHigh", "TasksMax", "CPUQuotaPerSecUSec", "LimitNOFILE", "LimitCORE"];
    assert_eq!(
        ceilings.map(|name| show(&watched, name)),
        ["201326592", "134217728", "64", "500ms", "8192", "0"]
    );
    // A reload is over when it was done.
    watched.guest.shell("systemctl reload vpcwatch").unwrap();
    watched.wait_until("the configuration is read again", |watched| {
        watched.messages().contains("the configuration was read again")
    });
    assert_eq!(show(&watched, "MainPID"), pid);
}

#[test]
fn the_sandbox_denies_what_the_agent_does_not_need() {
    let watched = installed("");
    watched.guest.shell("command -v perl unshare sudo mount").unwrap(); // what is missing is not denied
    // Of what others are denied by the owner of a file, root is denied by the sandbox alone.
    let of_root = [
        ("a write to the configuration", "echo x >/etc/vpcwatch/conf.d/x"),
        ("a write to /usr", "echo x >/usr/local/bin/x"),
        ("a write to /var/log", "echo x >/var/log/x"),
    ];
    for (what, script) in of_root {
        assert_ne!(try_inside_as(&watched, "root", script), "0", "{what} was allowed");
        watched.guest.shell(script).unwrap(); // outside it works
    }
    let of_the_user = [
        ("a look at others' processes", "ls /proc/1/status"),
        ("a new namespace", "unshare --user true"),
        ("a set-user-id file", "cd /var/lib/vpcwatch && cp /bin/true . && chmod u+s true"),
    ];
    // Numbers of system calls are an architecture's own: mmap, of memory to write and run.
    let of_x86_64 = [
        ("memory to write and run", "perl -e 'exit(syscall(9, 0, 4096, 7, 34, -1, 0) == -1)'"),
        ("another architecture's personality", "setarch linux32 true"),
    ];
    let of_the_user =
        of_the_user.into_iter().chain(of_x86_64.into_iter().filter(|_| cfg!(target_arch = "x86_64")));
    for (what, script) in of_the_user {
        assert_ne!(try_inside(&watched, script), "0", "{what} was allowed");
        watched.write("/usr/local/bin/try", script);
        watched.guest.shell("runuser -u vpcwatch -- sh /usr/local/bin/try").unwrap();
    }
    // Denied one way or another.
    let denied = [
        ("a write to /sys", "echo x >/sys/fs/cgroup/cgroup.procs"),
        ("a change of a kernel setting", "echo 1 >/proc/sys/net/ipv4/tcp_syncookies"),
        ("a look at others' homes", "ls /home/alice"),
        ("a look at passwords", "cat /etc/shadow"),
        ("new privileges", "sudo -n true || su root -c true </dev/null"),
        ("a mount", "mount -t tmpfs none /tmp"),
        ("a socket of AF_VSOCK", "perl -e 'socket(S, 40, 1, 0) or exit 1'"),
        ("a socket of AF_ALG", "perl -e 'socket(S, 38, 5, 0) or exit 1'"),
    ];
    for (what, script) in denied {
        assert_ne!(try_inside(&watched, script), "0", "{what} was allowed");
    }
    // The same way of trying lets pass what is needed, so it was the sandbox that denied.
    let allowed = [
        ("state", "echo x >/var/lib/vpcwatch/x && rm /var/lib/vpcwatch/x"),
        ("status", "echo x >/run/vpcwatch/x"),
        ("the journal", "journalctl --lines=1 --quiet | grep ."),
        ("files of the group adm", "cat /var/log/for-adm"),
        ("kernel counters", "cat /proc/net/netstat /proc/net/sockstat"),
        ("a packet socket", "perl -e 'socket(S, 17, 2, 0) or exit 1'"),
    ];
    watched
        .guest
        .shell("echo x >/var/log/for-adm; chgrp adm /var/log/for-adm; chmod 640 /var/log/for-adm")
        .unwrap();
    for (what, script) in allowed {
        assert_eq!(try_inside(&watched, script), "0", "{what} was denied");
    }
}

#[test]
fn it_comes_back_when_it_is_killed_when_it_hangs_and_when_the_host_boots() {
    let mut watched = installed("").reading();
    let mut failures = watched.guest.guess(address(ATTACKER), ALICE.0, 3, 1).unwrap();
    watched.guest.shell("systemctl kill --signal=KILL vpcwatch.service").unwrap();
    failures += watched.guest.guess(address(ATTACKER), ALICE.0, 3, 1).unwrap(); // while it is gone
    let restarted = |watched: &Watched, times: &str| {
        wait_until("systemd has restarted it", || {
            show(watched, "NRestarts") == times && show(watched, "ActiveState") == "active"
        });
    };
    restarted(&watched, "1");
    watched.settle();
    assert_eq!(watched.sum("login_failures"), u64::from(failures) + watched.marks);

    // Two minutes in the shipped unit.
    watched.drop_in("quick.conf", "[Service]\nWatchdogSec=8s\n");
    watched.guest.shell("systemctl restart vpcwatch").unwrap();
    watched.settle();
    std::thread::sleep(Duration::from_secs(10)); // it turns, so it lives
    assert_eq!((show(&watched, "NRestarts"), show(&watched, "Result")), ("0".into(), "success".into()));
    watched.guest.shell("systemctl kill --signal=STOP vpcwatch.service").unwrap();
    restarted(&watched, "1");
    let journal = watched.guest.shell("journalctl --quiet -o cat -u vpcwatch.service").unwrap();
    assert!(journal.contains("Watchdog timeout (limit 8s)!"), "{journal}");
    watched.settle();

    watched.guest.reboot().unwrap();
    failures += watched.guest.guess(address(ATTACKER), ALICE.0, 2, 1).unwrap();
    watched.settle();
    assert_eq!(watched.sum("login_failures"), u64::from(failures) + watched.marks);
    // Stopped, it sends what it has and goes: no time-out, no signal that kills.
    watched.stop_agent();
    assert_eq!((show(&watched, "Result"), show(&watched, "ExecMainStatus")), ("success".into(), "0".into()));
}

/// What systemd thinks of the sandbox, from 0 (nothing is exposed) to 10.
fn exposure(watched: &Watched) -> f64 {
    let judge = "systemd-analyze security --offline=true --no-pager /usr/lib/systemd/system/vpcwatch.service";
    let told = watched.guest.shell(judge).unwrap();
    let level = told.split("Overall exposure level for vpcwatch.service: ").nth(1).unwrap();
    level.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn without_capabilities_it_is_healthy_and_counts() {
    let watched = installed("");
    let verify = "systemd-analyze verify --man=no /usr/lib/systemd/system/vpcwatch.service 2>&1";
    assert_eq!(watched.guest.shell(verify).unwrap(), "");
    let default = exposure(&watched);
    assert!(default <= 1.7, "{default}");
    watched.ship("no-capabilities.conf");
    let without = exposure(&watched);
    assert!(without < default && without <= 1.3, "{without}");
    watched.guest.shell("systemctl restart vpcwatch").unwrap();
    wait_until_healthy(&watched);
    let pid = show(&watched, "MainPID");
    let held = watched.guest.shell(&format!("grep -E '^Cap(Eff|Bnd|Amb)' /proc/{pid}/status")).unwrap();
    assert_eq!(held.matches("0000000000000000").count(), 3, "{held}");
    let _client = watched.guest.network().peer.inside(|| Ok(TcpStream::connect("10.9.0.2:22")?)).unwrap();
    let before = watched.sum("netstat_tcp_established");
    watched.wait_until("a connection is told of", |watched| watched.sum("netstat_tcp_established") > before);
}

#[test]
fn a_log_that_only_root_may_read_is_read_with_the_drop_in() {
    let guest = Guest::boot(&Watched::package()).unwrap();
    guest.shell("install -m 600 /dev/null /var/log/secure").unwrap();
    let watched = Watched::installed(guest, "[logins]\nsource = \"files\"\n");
    watched.wait_until("it says that it may not", |watched| {
        status(watched)["troubles"].to_string().contains("/var/log/secure")
    });
    watched.ship("read-all-logs.conf");
    watched.guest.shell("systemctl restart vpcwatch").unwrap();
    wait_until_healthy(&watched);
    // Hidden behind an empty file, or an empty folder.
    for hidden in ["/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/sshd_config"] {
        assert_ne!(try_inside(&watched, &format!("grep -q . {hidden} 2>/dev/null\n")), "0", "{hidden}");
    }
    watched.guest.shell("echo x >/var/log/secure").unwrap();
    assert_eq!(try_inside(&watched, "grep -q . /var/log/secure\n"), "0");
}

#[test]
fn a_host_with_files_alone() {
    let guest = Guest::boot(&Watched::package()).unwrap();
    super::switch_rsyslog_on(&guest);
    // auth.log is there once something was written, and of root and adm, as the package makes it.
    guest.guess(address(ATTACKER), ALICE.0, 1, 1).unwrap();
    wait_until("auth.log is there", || guest.file("/var/log/auth.log").exists());
    let watched = Watched::installed(guest, "[logins]\nsource = \"files\"\n").reading();
    wait_until_healthy(&watched);
}

/// Passwords that are refused, offered from within; gives how many.
fn guess_at_home(watched: &Watched) -> u64 {
    let script = "export PASSWORD=wrong SSH_ASKPASS=/usr/local/bin/askpass SSH_ASKPASS_REQUIRE=force
        ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o PreferredAuthentications=password \
            -o NumberOfPasswordPrompts=3 alice@127.0.0.1 true 2>&1 | grep -c 'Permission denied'";
    watched.guest.shell(script).unwrap().trim().parse().unwrap()
}

#[test]
fn without_a_network_at_boot_it_waits_for_one_and_then_sends_all_as_who_it_is() {
    let guest = Guest::boot(&Watched::package()).unwrap();
    // Where they are on EC2: not on this host, and metadata at an address of its own behind the default route.
    let peer = &guest.network().peer;
    peer.ip(&["addr", "add", "169.254.169.254/32", "dev", "lo"]).unwrap();
    let imds = peer.inside(|| FakeImds::start_at(([169, 254, 169, 254].into(), 80))).unwrap();
    let aws = peer.inside(|| FakeAws::start_at(([10, 9, 0, 1].into(), 0))).unwrap();
    let mut watched = Watched::sending_to(aws, guest, &imds.environment()).running("").reading();

    watched.guest.network().unplug().unwrap();
    let sent = watched.aws().requests().len();
    let off = watched.aws().now().as_millisecond();
    watched.guest.reboot().unwrap();
    assert_eq!(watched.guest.shell("ip -oneline address | grep -cv ' lo '|| true").unwrap().trim(), "0");
    watched.wait_until("it says what is wrong", |watched| {
        status(watched)["troubles"]["identity"].to_string().contains("instance metadata")
    });
    let failures = guess_at_home(&watched);
    assert_eq!(failures, 3);
    std::thread::sleep(Duration::from_secs(4)); // for so many samples more
    assert_eq!(watched.aws().requests().len(), sent);
    let on = watched.aws().now().as_millisecond();
    watched.guest.network().plug_in().unwrap();
    watched.wait_until("what was logged is counted", |watched| {
        watched.sum("login_failures") == watched.marks + failures
    });
    wait_until_healthy(&watched);
    let mut heartbeats = watched.aws().metrics();
    heartbeats.retain(|datum| datum.name == "netstat_tcp_established");
    let itself = ("InstanceId".to_owned(), "i-0123456789abcdef0".to_owned());
    assert!(heartbeats.iter().all(|datum| datum.dimensions == [itself.clone()]));
    let before = heartbeats.iter().filter(|datum| (off..on).contains(&datum.timestamp_ms)).count();
    assert!(before >= 4, "{before} intervals of the time without a network");
    assert_eq!(watched.aws().violations(), Vec::<String>::new());
}
