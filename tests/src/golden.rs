//! Goldens: what a test expects, as a file that a diff shows. `UPDATE_GOLDENS=1` writes them anew.

use std::path::Path;

/// Compares `actual` with `tests/goldens/NAME`.
///
/// # Panics
/// If they differ, with the first line that does and how to accept it.
#[expect(clippy::panic, reason = "a failed comparison is a failed test")]
pub fn check(name: &str, actual: &str) {
    let path = crate::tests().join("goldens").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        update(&path, actual);
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        let pairs = expected
            .lines()
            .map(Some)
            .chain(std::iter::repeat(None))
            .zip(actual.lines().map(Some).chain([None]));
        let differing = pairs.enumerate().find(|(_, (a, b))| a != b);
        panic!(
            "tests/goldens/{name} differs, first (line, (golden, actual)): {differing:#?}\n\
             If the change is meant: UPDATE_GOLDENS=1 cargo test -p vpcwatch-tests, and read the diff.\n\
             whole of what came:\n{actual}"
        );
    }
}

#[expect(clippy::panic, reason = "a golden that cannot be written is a failed update")]
fn update(path: &Path, actual: &str) {
    let written =
        path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(path, actual));
    if let Err(error) = written {
        panic!("cannot write {}: {error}", path.display());
    }
}
