//! The dashboard: one for all hosts of a namespace and region. Its widgets search, so no host is named in it, and hosts come
//! and go without it being written again
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html>).

use serde_json::{Value, json};

use super::desired::{Dashboard, PREFIX, hash};
use crate::model::catalog;
use crate::model::settings::Settings;

/// A row of widgets: a heading, and charts of metrics.
struct Row {
    heading: &'static str,
    charts: &'static [Chart],
}

/// A chart: its title, the statistic, and the metrics of the catalog in it.
struct Chart {
    title: &'static str,
    statistic: &'static str,
    metrics: &'static [&'static str],
}

const fn chart(title: &'static str, statistic: &'static str, metrics: &'static [&'static str]) -> Chart {
    Chart { title, statistic, metrics }
}

/// What is shown, from what is looked at first.
#[rustfmt::skip] // a table
const ROWS: &[Row] = &[
    Row { heading: "Attacks", charts: &[
        chart("SYN floods and port scans", "Maximum", &["syn_flood_active", "port_scan_active"]),
        chart("Unanswered handshakes a second", "Maximum", &["syn_unanswered"]),
        chart("Failed logins a minute", "Sum", &["login_failures"]),
        chart("Password guessing", "Maximum", &["login_brute_force_active", "login_success_after_failures"]),
    ] },
    Row { heading: "TCP", charts: &[
        chart("Half-open connections", "Maximum", &["netstat_tcp_syn_recv"]),
        chart("Connections", "Average", &["netstat_tcp_established", "netstat_tcp_time_wait", "netstat_tcp_close_wait"]),
        chart("Queues of listeners, per cent full", "Maximum", &["tcp_syn_queue_utilization", "tcp_accept_queue_utilization"]),
        chart("Opened and sent again, a second", "Average", &["tcp_passive_opens", "tcp_active_opens", "tcp_retransmits"]),
    ] },
    Row { heading: "Interfaces", charts: &[
        chart("Bytes received a second", "Average", &["net_bytes_recv"]),
        chart("Bytes sent a second", "Average", &["net_bytes_sent"]),
        chart("Drops and errors a second", "Average", &["net_drop_in", "net_err_in"]),
        chart("Above the instance's allowances", "Sum", &["ethtool_bw_in_allowance_exceeded", "ethtool_bw_out_allowance_exceeded", "ethtool_pps_allowance_exceeded", "ethtool_conntrack_allowance_exceeded", "ethtool_linklocal_allowance_exceeded"]),
    ] },
    Row { heading: "Web requests, where access logs are measured", charts: &[
        chart("Requests a minute", "Sum", &["http_requests"]),
        chart("Errors and refusals a minute", "Sum", &["http_5xx", "http_4xx", "http_unauthorized"]),
        chart("Latency of 99 of 100 requests, ms", "p99", &["http_request_latency"]),
        chart("Latency of half of them, ms", "p50", &["http_request_latency"]),
    ] },
    Row { heading: "Pressure and the agent itself", charts: &[
        chart("Connection tracking, per cent full", "Maximum", &["conntrack_utilization"]),
        chart("SYNs dropped, cookies sent", "Sum", &["tcp_listen_drops", "tcp_listen_overflows", "tcp_syncookies_sent"]),
        chart("Agents that report (samples a minute)", "SampleCount", &["netstat_tcp_established"]),
        chart("Records lost, logs in trouble", "Sum", &["agent_records_dropped", "agent_log_troubles", "agent_log_gaps"]),
    ] },
];

/// Columns of a dashboard, and heights of a heading, a chart and the table.
const COLUMNS: u64 = 24;
const HEADING: u64 = 1;
const CHART: u64 = 6;
const TABLE: u64 = 8;
/// Findings in the table.
const FINDINGS: u32 = 50;

/// The dashboard of this namespace and region. It shows the same whatever this host sends, and with which dimensions: hosts that
/// differ would write it over each other's for ever. What it does depend on is in its name.
pub(super) fn shared(settings: &Settings, region: &str) -> Dashboard {
    let mut widgets = vec![text(ABOUT, 0, 2), findings(settings, region, 2)];
    let mut y = 2 + TABLE;
    for row in ROWS {
        widgets.push(text(&format!("## {}", row.heading), y, HEADING));
        y += HEADING;
        let width = COLUMNS / u64::try_from(row.charts.len()).unwrap_or(1).max(1);
        let mut x = 0;
        for chart in row.charts {
            let lines = chart.metrics.iter().map(|name| search(settings, name, chart.statistic));
            widgets.push(json!({
                "type": "metric", "x": x, "y": y, "width": width, "height": CHART,
                "properties": {
                    "title": chart.title, "region": region, "view": "timeSeries", "stacked": false,
                    "period": 60, "yAxis": { "left": { "min": 0 } },
                    "metrics": lines.collect::<Vec<Value>>(),
                },
            }));
            x += width;
        }
        y += CHART;
    }
    Dashboard {
        name: name(settings, region),
        body: json!({ "start": "-PT3H", "periodOverride": "inherit", "widgets": widgets }),
    }
}

const ABOUT: &str = "# vpcwatch\nEvery host of this namespace. Charts show one-second samples: a maximum is the worst second.";

/// Where the text is that carries our mark: the first widget.
pub(super) const MARKED: &str = "/widgets/0/properties/markdown";

fn text(markdown: &str, y: u64, height: u64) -> Value {
    json!({
        "type": "text", "x": 0, "y": y, "width": COLUMNS, "height": height,
        "properties": { "markdown": markdown },
    })
}

/// The latest findings, as Logs Insights finds them
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html>).
fn findings(settings: &Settings, region: &str, y: u64) -> Value {
    let group = &settings.findings_group;
    let query = format!(
        "SOURCE '{group}' | fields @timestamp, @logStream as host, kind, severity, state, verdict, id \
         | sort @timestamp desc | limit {FINDINGS}"
    );
    json!({
        "type": "log", "x": 0, "y": y, "width": COLUMNS, "height": TABLE,
        "properties": { "title": "Findings", "region": region, "view": "table", "query": query },
    })
}

/// A line of a chart: the metric, of every host. Without a schema a search finds it whatever its dimensions
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html>). Sparse metrics are missing while
/// they are zero, so these are filled.
fn search(settings: &Settings, name: &str, statistic: &str) -> Value {
    let namespace = settings.namespace.replace('\'', "\\'").replace('"', "\\\"");
    let search = format!("SEARCH('Namespace=\"{namespace}\" MetricName=\"{name}\"', '{statistic}', 60)");
    let is_sparse = catalog::find(name).is_some_and(|metric| metric.sparse);
    let expression = if is_sparse { format!("FILL({search}, 0)") } else { search };
    json!([{ "expression": expression, "id": format!("m_{name}") }])
}

/// The group of findings that most have, and that a dashboard's name does not tell.
const USUAL_FINDINGS: &str = "/vpcwatch/findings";
/// Of a namespace in a dashboard's name, which has 255 characters at most
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html>).
const MOST_OF_NAMESPACE: usize = 100;

/// What a dashboard may be called: letters, digits, `-` and `_`. Where that does not tell namespace and group of findings, a
/// hash of both follows.
fn name(settings: &Settings, region: &str) -> String {
    let (namespace, findings) = (&settings.namespace, &settings.findings_group);
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let plain: String = namespace.chars().take(MOST_OF_NAMESPACE).map(allowed).collect();
    if plain == *namespace && findings == USUAL_FINDINGS {
        return format!("{PREFIX}{plain}-{region}");
    }
    format!("{PREFIX}{plain}-{region}-{}", hash(&format!("{namespace} {findings}")))
}
