//! Alarms, the dashboard and log groups: what there should be, what there is, and the calls between the two.
//!
//! Takes configuration, catalog and identity; hands on nothing; never touches what does not carry its mark, and never
//! blocks the flow of data. `desired`, `fleet` and `compare` are pure; `apply` makes the calls, `election` those that choose which
//! instance of a fleet does, and `silent` finds what instances left that are gone.

pub mod apply;
mod compare;
mod dashboard;
mod desired;
pub mod election;
mod fleet;
mod mark;
mod pace;
pub mod policy;
pub mod silent;

pub use compare::{Change, Existing, FieldChange, Plan, compare};
pub use desired::{
    Alarm, BETWEEN_KEYS, Dashboard, Desired, KEYS_TAG, Measure, MetricStat, Nic, OWNER_TAG, PREFIX, Query,
    Subject, Wishes, desired, prefix,
};
pub use pace::{Pace, Paced};
