//! Alarms, the dashboard and log groups: what there should be, what there is, and the calls between the two.
//!
//! Takes configuration, catalog and identity; hands on nothing; never touches what does not carry its mark, and never
//! blocks the flow of data. `desired` and `compare` are pure; `apply` makes the calls.

pub mod apply;
mod compare;
mod dashboard;
mod desired;
mod mark;
pub mod policy;

pub use compare::{Change, Existing, FieldChange, Plan, compare};
pub use desired::{Alarm, Dashboard, Desired, Nic, OWNER_TAG, PREFIX, Wishes, desired, prefix};
