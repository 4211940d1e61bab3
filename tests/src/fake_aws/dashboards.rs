//! The operations on dashboards.
//!
//! Limits: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html>, with
//! `API_GetDashboard.html`, `API_DeleteDashboards.html`, `API_ListDashboards.html` and
//! `CloudWatch-Dashboard-Body-Structure.html` beside it. Of a body only the frame is checked: that it has widgets, not too
//! many, each an object with a type that there is, properties, and a place within the 24 columns.

use std::collections::BTreeMap;

use ciborium::Value as Cbor;
use jiff::Timestamp;
use serde_json::Value;

use super::cbor::{self, Map};
use super::protocol::{ACCOUNT, Refusal};

pub(super) const OPERATIONS: [&str; 4] =
    ["PutDashboard", "GetDashboard", "DeleteDashboards", "ListDashboards"];

const MOST_WIDGETS: usize = 500;
const LONGEST_NAME: usize = 255;
/// "up to 1000 results" a page.
const PAGE: usize = 1_000;
const COLUMNS: u64 = 24;
const ROWS: u64 = 1_000;
const WIDGETS: [&str; 5] = ["metric", "text", "log", "alarm", "explorer"];
const TOKEN: &str = "after/";

pub(super) type Dashboards = BTreeMap<String, Dashboard>;

/// A dashboard.
#[derive(Debug, Clone)]
pub(super) struct Dashboard {
    pub(super) body: String,
    pub(super) modified: Timestamp,
}

/// A request that has no flaw.
#[derive(Debug)]
pub(super) enum Call {
    Put { name: String, body: String },
    Get { name: String },
    Delete { names: Vec<String> },
    List { prefix: String, after: Option<String> },
}

/// What a permission would have to name: the dashboard, or all of them.
pub(super) fn resource(members: &Map) -> String {
    let first =
        members.get("DashboardNames").and_then(Cbor::as_array).and_then(|names| names.first()?.as_text());
    arn(members.get("DashboardName").and_then(Cbor::as_text).or(first).unwrap_or("*"))
}

/// A dashboard is of no region.
fn arn(name: &str) -> String {
    format!("arn:aws:cloudwatch::{ACCOUNT}:dashboard/{name}")
}

/// What a request asks for, if it is well formed.
pub(super) fn judge(operation: &str, mut members: Map) -> Result<Call, Refusal> {
    let call = match operation {
        "PutDashboard" => {
            let name = members.text("DashboardName")?.unwrap_or_default();
            if let Some(flaw) = bad_name(&name) {
                return Err(bad_input(flaw));
            }
            let body = members.text("DashboardBody")?.unwrap_or_default();
            if let Some(flaw) = bad_body(&body) {
                return Err(bad_input(format!("The dashboard body is invalid: {flaw}")));
            }
            Call::Put { name, body }
        }
        "GetDashboard" => {
            let name = members.text("DashboardName")?.unwrap_or_default();
            if let Some(flaw) = bad_name(&name) {
                return Err(bad_value(flaw));
            }
            Call::Get { name }
        }
        "DeleteDashboards" => {
            let names = members.texts("DashboardNames")?;
            if names.is_empty() {
                return Err(bad_value("DashboardNames must not be empty"));
            }
            if let Some(flaw) = names.iter().find_map(|name| bad_name(name)) {
                return Err(bad_value(flaw));
            }
            Call::Delete { names }
        }
        "ListDashboards" => {
            let prefix = members.text("DashboardNamePrefix")?.unwrap_or_default();
            if let Some(flaw) = bad_name(&prefix).filter(|_| !prefix.is_empty()) {
                return Err(bad_value(flaw));
            }
            let token = members.text("NextToken")?;
            let after = token.as_deref().map(|token| {
                token.strip_prefix(TOKEN).map(str::to_owned).ok_or_else(|| bad_value("Invalid nextToken"))
            });
            Call::List { prefix, after: after.transpose()? }
        }
        _ => return Err(Refusal::violation("UnknownOperationException", "no such operation")),
    };
    members.end()?;
    Ok(call)
}

/// Does what a request asks for, and answers it.
pub(super) fn apply(call: Call, dashboards: &mut Dashboards, now: Timestamp) -> Result<Cbor, Refusal> {
    Ok(match call {
        Call::Put { name, body } => {
            dashboards.insert(name, Dashboard { body, modified: now });
            cbor::map([("DashboardValidationMessages", Some(Cbor::Array(Vec::new())))])
        }
        Call::Get { name } => {
            let body = dashboards.get(&name).ok_or_else(|| absent(&name))?.body.as_str();
            cbor::map([
                ("DashboardArn", Some(arn(&name).into())),
                ("DashboardBody", Some(body.into())),
                ("DashboardName", Some(name.into())),
            ])
        }
        // "If there is an error during this call, no dashboards are deleted."
        Call::Delete { names } => {
            if let Some(name) = names.iter().find(|name| !dashboards.contains_key(*name)) {
                return Err(absent(name));
            }
            dashboards.retain(|name, _| !names.contains(name));
            Cbor::Map(Vec::new())
        }
        Call::List { prefix, after } => {
            let mut found = dashboards.iter().filter(|(name, _)| {
                name.starts_with(&prefix) && after.as_ref().is_none_or(|after| *name > after)
            });
            let page: Vec<(&String, &Dashboard)> = found.by_ref().take(PAGE).collect();
            let more = found.next().is_some();
            let token = page.last().filter(|_| more).map(|(name, _)| Cbor::from(format!("{TOKEN}{name}")));
            let entries = page.into_iter().map(|(name, dashboard)| {
                cbor::map([
                    ("DashboardName", Some(name.as_str().into())),
                    ("DashboardArn", Some(arn(name).into())),
                    ("LastModified", Some(cbor::time(dashboard.modified))),
                    ("Size", Some(Cbor::from(dashboard.body.len() as u64))),
                ])
            });
            cbor::map([("DashboardEntries", Some(Cbor::Array(entries.collect()))), ("NextToken", token)])
        }
    })
}

fn bad_name(name: &str) -> Option<String> {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Some(format!("The value {name} for field DashboardName must have 1 to 255 characters."));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (!name.bytes().all(allowed)).then(|| {
        format!(
            "The value {name} for field DashboardName contains invalid characters. It can only contain \
             alphanumerics, dash (-) and underscore (_)."
        )
    })
}

fn bad_body(body: &str) -> Option<String> {
    let body: Value = match serde_json::from_str(body) {
        Ok(body) => body,
        Err(error) => return Some(format!("it is not JSON: {error}")),
    };
    let Some(widgets) = body.get("widgets").and_then(Value::as_array) else {
        return Some("/ should have required property 'widgets'".into());
    };
    if widgets.len() > MOST_WIDGETS {
        return Some(format!("/widgets should not have more than {MOST_WIDGETS} items"));
    }
    let mut flaws = widgets.iter().enumerate().filter_map(|(n, widget)| Some((n, bad_widget(widget)?)));
    flaws.next().map(|(n, flaw)| format!("/widgets/{n} {flaw}"))
}

fn bad_widget(widget: &Value) -> Option<String> {
    let kind = widget.get("type").and_then(Value::as_str).unwrap_or_default();
    if !WIDGETS.contains(&kind) {
        return Some(format!("has a type that there is not: {kind}"));
    }
    if !widget.get("properties").is_some_and(Value::is_object) {
        return Some("should have required property 'properties'".into());
    }
    let place = [("x", 0, COLUMNS - 1), ("y", 0, u64::MAX), ("width", 1, COLUMNS), ("height", 1, ROWS)];
    let wrong = place.into_iter().find(|(name, least, most)| {
        let value = widget.get(name);
        value.is_some_and(|value| !value.as_u64().is_some_and(|value| (*least..=*most).contains(&value)))
    });
    if let Some((name, ..)) = wrong {
        return Some(format!("has a {name} out of range"));
    }
    // Stricter than needed, maybe: a place with one coordinate is no place.
    (widget.get("x").is_some() != widget.get("y").is_some()).then(|| "has one of x and y".into())
}

/// The error that the pages call `DashboardNotFoundError`, by its older name.
fn absent(name: &str) -> Refusal {
    Refusal::new(404, "ResourceNotFound", format!("Dashboard {name} does not exist"))
        .with_shape("DashboardNotFoundError")
}

fn bad_input(message: impl Into<String>) -> Refusal {
    Refusal::violation("InvalidParameterInput", message).with_shape("DashboardInvalidInputError")
}

fn bad_value(message: impl Into<String>) -> Refusal {
    Refusal::violation("InvalidParameterValue", message)
}
