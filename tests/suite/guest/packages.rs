//! The packages in a guest: installed, upgraded over an edited configuration, removed, purged; and the scripts as rpm calls them.

use std::path::{Path, PathBuf};
use std::process::Command;

use vpcwatch_tests::guest::Guest;

use super::watched::Watched;
use crate::agent;

const EDITED: &str = "# edited by an operator";

/// A package of the program that is tested. Without its debug information, which takes longest to compress.
pub(super) fn package(kind: &str, version: &str, folder: &Path) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let nfpm = std::env::var("VPCWATCH_NFPM").unwrap_or_default();
    assert!(!nfpm.is_empty(), "VPCWATCH_NFPM names the nfpm to use: tests/check.sh installs it");
    let stripped = folder.join("stripped");
    assert!(Command::new("strip").arg("-o").arg(&stripped).arg(agent::PATH).status().unwrap().success());
    let mut command = Command::new(repository.join("packaging/package.sh"));
    command.args([kind, "amd64"]).arg(stripped).args([version]).arg(folder).env("NFPM", nfpm);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

/// A script's outcome, as a word, in the guest.
fn says(watched: &Watched, script: &str) -> String {
    watched.guest.shell(script).unwrap().trim().to_owned()
}

#[test]
fn a_package_is_installed_upgraded_removed_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (package("deb", "0.1.0", folder.path()), package("deb", "0.2.0", folder.path()));
    package("rpm", "0.1.0", folder.path());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/scripts");
    let lent = [
        (one.as_path(), "/srv/one.deb"),
        (two.as_path(), "/srv/two.deb"),
        (&scripts.join("postinstall.sh"), "/srv/postinstall.sh"),
        (&scripts.join("preremove.sh"), "/srv/preremove.sh"),
    ];
    let watched = Watched::configured(Guest::boot(&lent).unwrap());
    watched.write("/etc/vpcwatch/conf.d/test.toml", "publish.interval = \"1s\"\nidentity.host = \"guest\"\n");
    // What it depends on is in the root, but for certificates, which a stand-in without TLS does not need.
    let install = |deb: &str| {
        says(
            &watched,
            &format!(
                "dpkg --force-depends --install /srv/{deb} 2>&1 || {{ cat /var/log/dpkg.log; exit 1; }}"
            ),
        )
    };
    let state = || says(&watched, "echo $(systemctl is-enabled vpcwatch) $(systemctl is-active vpcwatch)");

    // Installed: enabled, started, sending.
    install("one.deb");
    assert_eq!(state(), "enabled active");
    watched.wait_until("it sends", |watched| !watched.aws().metrics().is_empty());
    watched.wait_until("it is well", |watched| watched.guest.shell("vpcwatch status").is_ok());
    says(
        &watched,
        "test -s /usr/share/man/man1/vpcwatch-run.1 && test -s /usr/share/bash-completion/completions/vpcwatch
         test $(stat -c %a:%U /var/lib/vpcwatch /etc/vpcwatch/environment | tr '\\n' ' ' | tr -d ' ') = 700:vpcwatch600:root",
    );

    // Upgraded: what was edited stays, the service runs anew.
    says(&watched, &format!("echo '{EDITED}' >>/etc/vpcwatch/vpcwatch.toml"));
    let pid = says(&watched, "systemctl show --value --property=MainPID vpcwatch");
    install("two.deb");
    assert_eq!(state(), "enabled active");
    assert_ne!(says(&watched, "systemctl show --value --property=MainPID vpcwatch"), pid);
    assert_eq!(says(&watched, "dpkg-query --show --showformat='${Version}' vpcwatch"), "0.2.0");
    assert_eq!(says(&watched, "tail -n 1 /etc/vpcwatch/vpcwatch.toml"), EDITED);
    // Who disabled and stopped it is not overruled, by a roll-back neither.
    says(&watched, "systemctl disable --now vpcwatch 2>&1");
    install("one.deb");
    assert_eq!(state(), "disabled inactive");

    // As rpm calls the scripts: an installation enables and does not start, an upgrade restarts what runs, an erasure stops it.
    says(&watched, "sh /srv/postinstall.sh 1 2>&1");
    assert_eq!(state(), "enabled inactive");
    says(&watched, "systemctl start vpcwatch");
    let pid = says(&watched, "systemctl show --value --property=MainPID vpcwatch");
    says(&watched, "sh /srv/preremove.sh 1 && sh /srv/postinstall.sh 2 2>&1");
    assert_ne!(says(&watched, "systemctl show --value --property=MainPID vpcwatch"), pid);
    assert_eq!(state(), "enabled active");
    says(&watched, "sh /srv/preremove.sh 0 2>&1");
    assert_eq!(state(), "disabled inactive");
    // Where no systemd runs: enabled, for the next boot.
    says(
        &watched,
        "unshare --mount sh -c 'mount -t tmpfs none /run/systemd && sh /srv/postinstall.sh 1' 2>&1",
    );
    assert_eq!(state(), "enabled inactive");

    // Removed: nothing runs, and what is the operator's stays. Purged: nothing stays.
    says(&watched, "systemctl start vpcwatch && dpkg --remove vpcwatch 2>&1");
    says(
        &watched,
        "! pgrep -x vpcwatch && test ! -e /usr/bin/vpcwatch && test -e /var/lib/vpcwatch/state.redb",
    );
    assert_eq!(says(&watched, "tail -n 1 /etc/vpcwatch/vpcwatch.toml"), EDITED);
    says(&watched, "dpkg --purge vpcwatch 2>&1");
    let traces = "find / -xdev -name '*vpcwatch*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' \
                -not -path '/var/tmp/*' -not -path '/var/lib/systemd/*' -not -path '/var/lib/dpkg/info/*' | sort";
    assert_eq!(says(&watched, traces), "");
    assert_eq!(says(&watched, "id vpcwatch 2>/dev/null || echo nobody"), "nobody");
    // A boot without it is well.
    assert_eq!(
        says(
            &watched,
            "systemctl daemon-reload; systemctl is-enabled vpcwatch 2>&1 | grep -c enabled || true"
        ),
        "0"
    );
}
