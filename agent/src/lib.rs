//! vpcwatch: a host-based network monitoring agent for EC2.
//!
//! Data flows one way; the modules below stand in that order:
//!
//! ```text
//! sources --read()--> sampler --Snapshot--+
//! tail (files, journal) --------LogLines--+--> Event --> pipeline --Record--> sinks (standard output)
//!                                                  (rates, parse, detectors, \
//!                                                   rollup, render)           spool --> store --> deliver --> CloudWatch
//! ```
//!
//! Logs that are shipped go beside it: `tail` --lines--> [`shipping`] --events--> `store`.
//!
//! [`cli`] reads arguments, [`app`] builds the parts, starts them and waits. Of our own code a stage imports
//! [`model`] and at most the stage that feeds it.

pub mod cli;

pub mod app;

pub mod config;

pub mod model;

pub mod host;

pub mod aws;

pub mod sources;

pub mod tail;

pub mod sampler;

pub mod rates;

pub mod parse;

pub mod detectors;

pub mod shipping;

pub mod pipeline;

pub mod replay;

pub mod store;

pub mod sinks;

pub mod provision;

pub mod cost;

pub mod check;

pub mod service;
