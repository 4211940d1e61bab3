//! Where reading the journal stands, as the state file keeps it: `CURSOR @MICROSECONDS`, or without a cursor as long as
//! no entry was read. The cursor is the last entry that was read; up to the time everything was read. The time alone
//! serves where the journal no longer knows the cursor, and tells whether entries went before they could be read.

/// A place in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The last entry read.
    pub(super) cursor: Option<String>,
    /// All entries before this time were read; microseconds since 1970.
    pub(super) until_us: i64,
}

impl Place {
    /// As it was stored; None where it is not of this form.
    pub(super) fn read(stored: &[u8]) -> Option<Place> {
        let (cursor, time) = std::str::from_utf8(stored).ok()?.rsplit_once('@')?;
        let cursor = Some(cursor.trim_end()).filter(|cursor| !cursor.is_empty());
        let is_cursor = cursor.is_none_or(|cursor| cursor.bytes().all(|byte| byte.is_ascii_graphic()));
        let until_us = time.parse().ok().filter(|time| *time >= 0 && is_cursor)?;
        Some(Place { cursor: cursor.map(Into::into), until_us })
    }

    /// Whether an entry is the last that was read. When journald moves its volatile journal to disk, the file's id and the
    /// number within it change (`s=`, `i=`), the rest of the cursor does not: boot, times, hash.
    pub(super) fn is_at(&self, cursor: &str) -> bool {
        fn entry(cursor: &str) -> impl Iterator<Item = &str> {
            cursor.split(';').filter(|part| !part.starts_with("s=") && !part.starts_with("i="))
        }
        self.cursor.as_deref().is_some_and(|last| entry(last).eq(entry(cursor)))
    }

    /// As it is stored.
    pub(super) fn write(&self) -> Vec<u8> {
        let cursor = self.cursor.as_deref().unwrap_or_default();
        let space = if cursor.is_empty() { "" } else { " " };
        format!("{cursor}{space}@{}", self.until_us).into_bytes()
    }

    /// The argument with which journalctl begins there, so that no entry behind it is missed: `--after-cursor` passes over
    /// two entries, the second being one that nobody read if the first is not the cursor's own (systemd 252, 255).
    pub(super) fn argument(&self) -> String {
        match &self.cursor {
            Some(cursor) => format!("--cursor={cursor}"),
            None => format!("--since=@{}.{:06}", self.until_us / 1_000_000, self.until_us % 1_000_000),
        }
    }
}
