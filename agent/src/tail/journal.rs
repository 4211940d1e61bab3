//! systemd's journal.
