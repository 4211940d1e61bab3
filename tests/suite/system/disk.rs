//! A disk that is full: a small tmpfs of its own.

use std::path::Path;
use std::process::Command;

use vpcwatch_tests::fake_aws::FakeAws;

use crate::delivery::{check_numbers, numbered, told};

/// Unmounted with the test.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mounted(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", size, "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(folder.path()).status().unwrap().success());
        SmallDisk { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

#[test]
fn what_a_full_disk_cannot_hold_is_kept_in_memory_and_goes_out() {
    let (aws, disk) = (FakeAws::start().unwrap(), SmallDisk::mounted("size=2m"));
    aws.down();
    // Some 3 MB: more than the disk has, less than disk and memory together.
    let count = 9_000;
    let mut program = numbered(&aws, disk.path(), count, None);
    let mut stdout = program.lines();
    let mut was_full = false;
    let stored = stdout.any(|line| {
        was_full |= line.starts_with("trouble ") && line.contains("No space left");
        line == format!("stored {count}")
    });
    assert!(stored && was_full, "it ended, or the disk was never full");
    aws.up().unwrap();
    let rest: String = stdout.map(|line| line + "\n").collect();
    let (code, _, stderr) = program.end();
    assert_eq!((code, told(&rest, "lost")), (Some(0), 0), "{stderr}");
    check_numbers(&aws, count, &[], told(&rest, "ambiguous"));
}
