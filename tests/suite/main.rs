//! The suite: vpcwatch as its user meets it.
//!
//! All but [`system`], [`guest`] and [`moto`] run anywhere. `system` needs root and iproute2, makes its own network namespaces, and
//! fails where it cannot: leave it out with `-- --skip system::`; so does `guest`, which boots guests and needs mmdebstrap and
//! systemd-container besides. `moto` needs what `tests/check.sh` installs:
//! `-- --skip moto::`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod agent;
mod alarms;
mod benign_days;
mod captures;
mod check;
mod cloudformation;
mod command_line;
mod configuration;
mod delivery;
mod documents;
mod fakes;
mod first_run;
mod fleet;
mod fleet_boot;
mod floods;
mod guest;
mod image;
mod interrupted;
mod invariants;
mod login_patterns;
mod logins;
mod moto;
mod provisioning;
mod recordings;
mod roots;
mod shipping;
mod system;
