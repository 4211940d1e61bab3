//! W3C extended logs (<https://www.w3.org/TR/WD-logfile.html>): IIS
//! (<https://learn.microsoft.com/en-us/windows/win32/http/w3c-logging>) and `CloudFront`'s standard logs
//! (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html>). `#Fields:` says what each column is.
//! Who begins to read in the middle of a file has not seen it: then the columns that both write by default are known again.

use super::super::address::address;
use super::latency::{self, of, written};
use super::{Request, Time, named, status};
use crate::model::web_log::{Format, LatencyField, LatencyRule, TimeUnit};

/// What directives of a file told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<Box<str>>);

/// Columns that are kept of `#Fields:`. `CloudFront` has 33.
const MOST: usize = 64;

const CLOUDFRONT: &str = "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start sc-range-end";
const IIS: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

impl Fields {
    /// Takes in a directive. False where the line is none.
    pub(super) fn directive(&mut self, line: &str) -> bool {
        let Some(directive) = line.strip_prefix('#') else { return false };
        if let Some(fields) = directive.strip_prefix("Fields:") {
            self.0 = fields.split_whitespace().take(MOST).map(Into::into).collect();
        }
        true
    }
}

/// The columns that are needed.
#[derive(Default)]
struct Row<'a> {
    date: &'a str,
    time: &'a str,
    client: &'a str,
    user: &'a str,
    method: &'a str,
    stem: &'a str,
    status: &'a str,
    taken: Option<&'a str>,
    told: Option<&'a str>,
    is_cloudfront: bool,
    is_iis: bool,
    columns: usize,
}

pub(super) fn read<'a>(
    line: &'a str,
    rule: Option<&LatencyRule>,
    fields: &Fields,
    format: Option<Format>,
) -> Result<Request<'a>, &'static str> {
    if !line.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("not a row of columns");
    }
    let is_tabbed = line.contains('\t');
    let key =
        rule.and_then(|rule| if let LatencyField::Key(key) = &rule.field { Some(&**key) } else { None });
    let by = if is_tabbed { '\t' } else { ' ' };
    let row = if fields.0.is_empty() {
        Row::of(line.split(by), if is_tabbed { CLOUDFRONT } else { IIS }.split(' '), key)
    } else {
        Row::of(line.split(by), fields.0.iter().map(AsRef::as_ref), key)
    };
    let row = row.ok_or("as many columns as #Fields: has, or as are usual, are not there")?;
    let is_day = row.date.len() == 10 && row.date.as_bytes().get(4) == Some(&b'-');
    if !is_day || row.time.as_bytes().get(2) != Some(&b':') {
        return Err("no date and time in their columns");
    }
    let status = status(row.status).ok_or("no status in its column")?;
    let found = if row.is_cloudfront { Format::CloudFront } else { Format::Iis };
    let unit = match format {
        Some(Format::CloudFront) => Some(TimeUnit::Seconds),
        Some(Format::Iis) => Some(TimeUnit::Milliseconds),
        _ if row.is_cloudfront => Some(TimeUnit::Seconds),
        _ if row.is_iis => Some(TimeUnit::Milliseconds),
        _ => None,
    };
    let latency = match (rule, row.told.or(row.taken), unit) {
        (_, None | Some("-"), _) => Err(latency::NONE),
        (Some(rule), Some(taken), _) => written(taken, rule.unit),
        (None, Some(taken), Some(unit)) => {
            taken.parse().map_err(|_| latency::NO_NUMBER).and_then(|amount: f64| of(amount, unit))
        }
        (None, Some(_), None) => Err(latency::UNIT),
    };
    Ok(Request {
        format: format.unwrap_or(found),
        time: Time::Utc(row.date, row.time),
        status,
        latency,
        source: address(row.client),
        user: named(row.user).map(Into::into),
        method: named(row.method).map(Into::into),
        path: named(row.stem).map(Into::into),
    })
}

impl<'a> Row<'a> {
    fn of<'f>(
        columns: impl Iterator<Item = &'a str>,
        names: impl Iterator<Item = &'f str>,
        told: Option<&str>,
    ) -> Option<Self> {
        let (mut row, mut names) = (Row::default(), names);
        for column in columns {
            let name = names.next()?;
            row.columns += 1;
            if Some(name) == told {
                row.told = Some(column);
            }
            match name {
                "date" => row.date = column,
                "time" => row.time = column,
                "c-ip" => row.client = column,
                "cs-username" => row.user = column,
                "cs-method" => row.method = column,
                "cs-uri-stem" => row.stem = column,
                "sc-status" => row.status = column,
                "time-taken" => row.taken = Some(column),
                "x-edge-location" => row.is_cloudfront = true,
                "sc-win32-status" => row.is_iis = true,
                _ => {}
            }
        }
        // Columns were added to CloudFront's logs over the years: what comes behind may be missing.
        let is_whole = names.next().is_none() || (row.is_cloudfront && row.taken.is_some());
        is_whole.then_some(row)
    }
}
