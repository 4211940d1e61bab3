//! Nothing needs root: an ordinary user sees the same.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;
use vpcwatch_tests::namespace::{Namespace, run};

use super::sample;
use crate::agent::{PATH, printed};

#[test]
fn an_ordinary_user_sees_what_root_sees() {
    let namespace = Namespace::new().unwrap();
    let _listener = namespace.inside(|| Ok(TcpListener::bind("127.0.0.1:8080")?)).unwrap();
    // The checkout may be where that user may not go.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("vpcwatch");
    // By a program of its own: had this process held the copy open for writing while another test started a program,
    // it could not be executed yet.
    run(&["cp", PATH, copy.to_str().unwrap()]).unwrap();
    let nobody = || {
        let mut command = Command::new(&copy);
        Ok(command.arg("sample").env_clear().current_dir("/").uid(65_534).gid(65_534).output()?)
    };
    let output = namespace.inside(nobody).unwrap();
    let as_nobody: Value = serde_json::from_str(&printed(&output, 0)).unwrap();
    let as_root = sample(&namespace, &[]);
    for part in ["tcp", "listeners", "conntrack"] {
        assert_eq!(as_nobody[part], as_root[part], "{part}");
    }
    let outcomes = |snapshot: &Value| {
        let all = snapshot["sources"].as_array().unwrap().clone();
        all.iter().map(|s| (s["name"].clone(), s["outcome"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(&as_nobody), outcomes(&as_root));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
