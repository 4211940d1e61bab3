//! `packaging/ami/verify.sh` names what of the builder is in an image, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Command;

use vpcwatch_tests::tests;

/// What is in every image, and right.
const GOOD: [(&str, &str); 5] = [
    ("etc/machine-id", ""),
    ("etc/vpcwatch/vpcwatch.toml", "[identity]\n# host = \"web-1\"\nhost = \"\"\n"),
    ("etc/vpcwatch/environment", "AWS_REGION=eu-west-3\n"),
    ("etc/ssh/sshd_config", "PermitRootLogin no\n"),
    ("usr/bin/vpcwatch", ""),
];

/// What must not be: the file, what it holds.
const BAD: [(&str, &str); 13] = [
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
    ("etc/ssh/ssh_host_ed25519_key", "key\n"),
    ("etc/vpcwatch/conf.d/50-host.toml", "[identity]\nhost = 'web-1'\n"),
    ("etc/vpcwatch/conf.d/60-host.toml", "identity.host = \"web-1\"\n"),
    ("etc/vpcwatch/environment", "AWS_SECRET_ACCESS_KEY=not-a-secret\n"),
    (
        "etc/systemd/system/vpcwatch.service.d/keys.conf",
        "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=AKIAEXAMPLE\n",
    ),
    ("home/admin/.aws/credentials", "[default]\n"),
    ("root/.aws/credentials", "[default]\n"),
    ("run/vpcwatch/status.json", "{}\n"),
    ("var/lib/cloud/instances/i-0123456789abcdef0/obj.pkl", ""),
    ("var/lib/vpcwatch/state.redb", ""),
    ("var/log/journal/0123456789abcdef0123456789abcdef/system.journal", ""),
    ("var/log/vpcwatch.messages", "watching i-0123456789abcdef0\n"),
];

fn write(root: &Path, (path, text): (&str, &str)) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Its exit code, and what it named.
fn verify(root: &Path) -> (Option<i32>, String) {
    let output = Command::new(tests().join("../packaging/ami/verify.sh")).arg(root).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_clean_image_passes_and_each_thing_of_the_builder_is_named() {
    let image = || {
        let root = tempfile::tempdir().unwrap();
        GOOD.iter().for_each(|file| write(root.path(), *file));
        root
    };
    assert_eq!(verify(image().path()), (Some(0), String::new()));
    for bad in BAD {
        let root = image();
        write(root.path(), bad);
        let (code, told) = verify(root.path());
        // A whole instance of cloud-init is named by its folder.
        let named = bad.0.trim_end_matches("/obj.pkl");
        assert!(code == Some(1) && told.starts_with(&format!("/{named}: ")), "{bad:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn what_is_no_image_is_not_called_clean() {
    let root = tempfile::tempdir().unwrap();
    let output = Command::new(tests().join("../packaging/ami/verify.sh")).arg(root.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
