//! Prices in US dollars, as data: what AWS changes is changed here and nowhere else.

/// When they were written down here, year and month. Whoever changes one looks all of them up at [`SOURCE`].
pub const NOTED: &str = "2026-11";
/// Where they are.
pub const SOURCE: &str = "https://aws.amazon.com/cloudwatch/pricing/";
/// Of which region they are.
pub const REGION: &str = "us-east-1";
/// A metric for a month, among the first 10,000 of an account; billed by the hour it has data in.
pub const METRIC: f64 = 0.30;
/// One `PutMetricData` request.
pub const REQUEST: f64 = 0.01 / 1000.0;
/// A metric that a standard alarm looks at, for a month.
pub const ALARM_METRIC: f64 = 0.10;
/// A dashboard for a month, beyond the first three of an account.
pub const DASHBOARD: f64 = 3.00;
/// A gigabyte of logs taken in.
pub const LOG_GIGABYTE: f64 = 0.50;
