//! The calls: what there is, and what changes it. Every failure is told by what it concerns; the rest goes on.
//!
//! The account allows three `PutMetricAlarm` and three `DeleteAlarms` a second in a region, of all its hosts together
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html>): nothing is written that is as
//! it should be, writes are spaced, and a throttled one is waited for ([`super::pace`]).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_cloudwatch::operation::delete_alarms::DeleteAlarmsError;
use aws_sdk_cloudwatch::operation::get_dashboard::GetDashboardError;
use aws_sdk_cloudwatch::operation::list_tags_for_resource::ListTagsForResourceError;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension as ApiDimension, Metric, MetricAlarm, MetricDataQuery,
    MetricStat as ApiMetricStat, StateValue, Statistic, Tag,
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;
use tokio::time::sleep;

use super::compare::{Change, Existing, Plan, TAGS};
use super::desired::{
    Alarm, BETWEEN_KEYS, Dashboard, Desired, KEYS_TAG, Measure, MetricStat, OWNER_TAG, PREFIX, Query,
};
use super::pace::Paced;
use crate::aws::{Connection, Failure, classify};
use crate::model::record::Dimension;

const PUT_ALARM: &str = "cloudwatch:PutMetricAlarm";
const DESCRIBE: &str = "cloudwatch:DescribeAlarms";
const DELETE: &str = "cloudwatch:DeleteAlarms";
const SET_STATE: &str = "cloudwatch:SetAlarmState";
const LIST_TAGS: &str = "cloudwatch:ListTagsForResource";
const TAG: &str = "cloudwatch:TagResource";
const UNTAG: &str = "cloudwatch:UntagResource";
const GET_DASHBOARD: &str = "cloudwatch:GetDashboard";
const PUT_DASHBOARD: &str = "cloudwatch:PutDashboard";
const DELETE_DASHBOARD: &str = "cloudwatch:DeleteDashboards";
const CREATE_GROUP: &str = "logs:CreateLogGroup";
const SET_RETENTION: &str = "logs:PutRetentionPolicy";

/// Between two writes: what one host takes of the account's three a second.
const SPACING: Duration = Duration::from_millis(400);
/// Alarms that one call deletes at most
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DeleteAlarms.html>).
const MOST_DELETED: usize = 100;

/// Codes for a dashboard that is not there.
const NO_DASHBOARD: [&str; 3] = ["ResourceNotFound", "DashboardNotFoundError", "ResourceNotFoundException"];

/// What was done, left alone and not possible; each names what it concerns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was created, changed, deleted.
    pub done: Vec<String>,
    /// What was left alone, and why.
    pub left: Vec<String>,
    /// What failed, and the cure.
    pub failed: Vec<String>,
}

/// What there is under our names.
pub async fn existing(
    paced: Paced<'_>,
    prefix: &str,
    dashboard: Option<&str>,
) -> Result<(Existing, Arns), Failure> {
    let described = described(paced, prefix).await?;
    let arns = Arns::of_described(&described);
    let alarms = described.iter().map(read).collect();
    let dashboard = match dashboard {
        Some(name) => body(paced, name).await?,
        None => None,
    };
    Ok((Existing { alarms, dashboard }, arns))
}

/// Every alarm whose name begins so.
pub(super) async fn described(paced: Paced<'_>, prefix: &str) -> Result<Vec<MetricAlarm>, Failure> {
    let mut alarms = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = paced.call(|| async {
            let ask =
                paced.connection.cloudwatch().describe_alarms().alarm_name_prefix(prefix).max_records(100);
            let answer = ask.set_next_token(next.clone()).send().await;
            answer.map_err(|error| classify(&error, DESCRIBE))
        });
        let page = page.await?;
        next = page.next_token().map(str::to_owned);
        alarms.extend(page.metric_alarms.unwrap_or_default());
        if next.is_none() {
            return Ok(alarms);
        }
    }
}

/// The resource names of alarms.
#[derive(Debug, Clone, Default)]
pub struct Arns(Vec<(String, String)>);

impl Arns {
    pub(super) fn of_described(alarms: &[MetricAlarm]) -> Self {
        Arns(alarms.iter().map(|alarm| (text(alarm.alarm_name()), text(alarm.alarm_arn()))).collect())
    }

    fn of(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, arn)| arn.as_str())
    }
}

async fn body(paced: Paced<'_>, name: &str) -> Result<Option<Value>, Failure> {
    let got = paced.call(|| async {
        match paced.connection.cloudwatch().get_dashboard().dashboard_name(name).send().await {
            Ok(answer) => Ok(Some(text(answer.dashboard_body()))),
            Err(error)
                if error.as_service_error().is_some_and(GetDashboardError::is_dashboard_not_found_error) =>
            {
                Ok(None)
            }
            Err(error) => Err(classify(&error, GET_DASHBOARD)),
        }
    });
    let got = got.await?;
    Ok(got.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// Makes what is planned. With `force` also over what a person changed; what is not ours by its tag stays even then.
pub async fn apply(paced: Paced<'_>, desired: &Desired, plan: &Plan, arns: &Arns, force: bool) -> Report {
    let mut work = Work::new(paced, arns, &desired.owner);
    let mut surplus: Vec<&str> = Vec::new();
    for (name, change) in &plan.alarms {
        let wanted = desired.alarms.iter().find(|alarm| alarm.alarm_name == *name);
        match (change, wanted) {
            (Change::Same, _) | (Change::Create | Change::Update(_), None) => {}
            (Change::Create, Some(wanted)) => work.put(wanted, &desired.tags, "created").await,
            (Change::Update(fields), Some(wanted)) => {
                let is_tagged = fields.iter().all(|change| change.field != TAGS);
                work.replace(wanted, &desired.tags, "changed", is_tagged).await;
            }
            (Change::Edited(_) | Change::Foreign, Some(wanted)) if force => {
                work.replace(wanted, &desired.tags, "changed, by force,", false).await;
            }
            (Change::Delete, _) => surplus.push(name),
            (Change::Edited(_), None) if force => surplus.push(name),
            (Change::Edited(_), _) => {
                work.leave(name, "a person changed it after it was made; --force writes over that");
            }
            (Change::Foreign, _) => work.leave(name, NOT_OURS),
        }
    }
    work.delete(&surplus).await;
    if let (Some((name, change)), Some(wanted)) = (&plan.dashboard, &desired.dashboard) {
        work.dashboard(name, change, wanted, force).await;
    }
    for (group, days) in &desired.groups {
        work.group(group, *days).await;
    }
    work.report
}

const NOT_OURS: &str = "it has our name and not our mark: rename or delete it, then apply again";

/// Deletes this host's alarms, and the dashboard if no other host has alarms any more. Log groups stay: findings are
/// evidence.
pub async fn destroy(paced: Paced<'_>, desired: &Desired, plan: &Plan, arns: &Arns, force: bool) -> Report {
    let mut work = Work::new(paced, arns, &desired.owner);
    let mut ours: Vec<&str> = Vec::new();
    for (name, change) in &plan.alarms {
        match change {
            Change::Create => {}
            Change::Foreign => work.leave(name, NOT_OURS),
            Change::Edited(_) if !force => {
                work.leave(name, "a person changed it after it was made; --force deletes it all the same");
            }
            _ => ours.push(name),
        }
    }
    work.delete(&ours).await;
    if let Some((name, change)) = &plan.dashboard {
        match change {
            Change::Create => {}
            Change::Foreign => work.leave(name, NOT_OURS),
            Change::Edited(_) if !force => {
                work.leave(name, "a person changed it after it was made; --force deletes it all the same");
            }
            _ => work.delete_dashboard(name).await,
        }
    }
    work.report
}

/// Deletes alarms of another owner that is gone, all of them unedited or with `force`.
pub(super) async fn remove(paced: Paced<'_>, arns: &Arns, owner: &str, names: &[&str]) -> Report {
    let mut work = Work::new(paced, arns, owner);
    work.delete(names).await;
    work.report
}

/// Rings an alarm, to prove the way to whoever it notifies. CloudWatch sets it back at its next evaluation.
pub async fn ring(connection: &Connection, name: &str) -> Result<(), Failure> {
    let set = connection.cloudwatch().set_alarm_state().alarm_name(name).state_value(StateValue::Alarm);
    let set = set.state_reason("a test by vpcwatch provision test: nothing is wrong");
    set.send().await.map(|_| ()).map_err(|error| classify(&error, SET_STATE))
}

struct Work<'a> {
    paced: Paced<'a>,
    connection: &'a Connection,
    arns: &'a Arns,
    /// Whose alarms are ours.
    owner: &'a str,
    report: Report,
    /// Actions that the role does not allow: asked once.
    denied: BTreeSet<&'static str>,
}

/// Whose an alarm is that was there.
enum Whose {
    /// Ours, with these tags.
    Ours(Vec<Tag>),
    /// Somebody's, or that cannot be told: left alone, and said.
    Others,
    /// It is not there any more.
    Nobodys,
}

impl<'a> Work<'a> {
    fn new(paced: Paced<'a>, arns: &'a Arns, owner: &'a str) -> Self {
        Work {
            paced,
            connection: paced.connection,
            arns,
            owner,
            report: Report::default(),
            denied: BTreeSet::new(),
        }
    }

    fn leave(&mut self, name: &str, why: &str) {
        self.report.left.push(format!("{name}: {why}"));
    }

    /// Makes a call, and keeps what came of it. An action that was denied is not tried again.
    async fn call<F>(&mut self, action: &'static str, name: &str, what: &str, call: impl Fn() -> F) -> bool
    where
        F: Future<Output = Result<(), Failure>>,
    {
        if self.denied.contains(action) {
            self.report.failed.push(format!("{name}: {action} was denied above"));
            return false;
        }
        let result = self.paced.call(call).await;
        sleep(SPACING).await;
        match result {
            Ok(()) => {
                if !what.is_empty() {
                    self.report.done.push(format!("{what} {name}"));
                }
                true
            }
            Err(failure) => {
                if matches!(failure, Failure::Waiting { .. }) {
                    self.denied.insert(action);
                }
                self.report.failed.push(format!("{name}: {}", failure.why()));
                false
            }
        }
    }

    /// What the alarm's tags tell of it: it is ours if it carries our tag with this host's name. The mark in its description can be
    /// copied with it.
    async fn whose(&mut self, name: &str) -> Whose {
        let Some(arn) = self.arns.of(name) else { return Whose::Others };
        let tags = self.paced.call(|| async {
            match self.connection.cloudwatch().list_tags_for_resource().resource_arn(arn).send().await {
                Ok(answer) => Ok(Some(answer.tags.unwrap_or_default())),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(ListTagsForResourceError::is_resource_not_found_exception) =>
                {
                    Ok(None)
                }
                Err(error) => Err(classify(&error, LIST_TAGS)),
            }
        });
        match tags.await {
            Ok(None) => Whose::Nobodys,
            Ok(Some(tags)) => {
                let is_ours = |tag: &Tag| tag.key() == Some(OWNER_TAG) && tag.value() == Some(self.owner);
                if tags.iter().any(is_ours) {
                    return Whose::Ours(tags);
                }
                self.leave(name, &format!("it has no tag {OWNER_TAG} with the value {}", self.owner));
                Whose::Others
            }
            Err(failure) => {
                self.report.failed.push(format!("{name}: {}", failure.why()));
                Whose::Others
            }
        }
    }

    /// Makes an alarm, or one that is there as this one is. Tags are taken where it is not there, or was deleted underneath us.
    async fn put(&mut self, alarm: &Alarm, tags: &[(String, String)], what: &str) {
        let (connection, signed, api_tags) =
            (self.connection, alarm.signed(self.owner, tags), api_tags(tags));
        let put = || async {
            let put = request(connection, &signed).set_tags(Some(api_tags.clone())).send().await;
            put.map(|_| ()).map_err(|error| classify(&error, PUT_ALARM))
        };
        self.call(PUT_ALARM, &alarm.alarm_name, what, put).await;
    }

    /// Writes over an alarm that is there. Its tags come first: once its description says that they are as they should be, nobody
    /// looks at them again.
    async fn replace(&mut self, alarm: &Alarm, tags: &[(String, String)], what: &str, is_tagged: bool) {
        let name = &alarm.alarm_name;
        match self.whose(name).await {
            Whose::Others => return,
            Whose::Ours(there) if !is_tagged => {
                if !self.tag(name, &there, tags).await {
                    return;
                }
            }
            Whose::Ours(_) | Whose::Nobodys => {}
        }
        self.put(alarm, tags, what).await;
    }

    /// Writes tags, and takes away those that were written and are wished for no longer.
    async fn tag(&mut self, name: &str, there: &[Tag], tags: &[(String, String)]) -> bool {
        let (connection, api_tags) = (self.connection, api_tags(tags));
        let Some(arn) = self.arns.of(name).map(str::to_owned) else { return false };
        let tag = || async {
            let tag = connection.cloudwatch().tag_resource().resource_arn(&arn);
            let tagged = tag.set_tags(Some(api_tags.clone())).send().await;
            tagged.map(|_| ()).map_err(|error| classify(&error, TAG))
        };
        let surplus = surplus(there, tags);
        if !surplus.is_empty() {
            let untag = || async {
                let untag = connection.cloudwatch().untag_resource().resource_arn(&arn);
                let untagged = untag.set_tag_keys(Some(surplus.clone())).send().await;
                untagged.map(|_| ()).map_err(|error| classify(&error, UNTAG))
            };
            // First, for the tag that names them is written by the other call.
            if !self.call(UNTAG, name, "", untag).await {
                return false;
            }
        }
        self.call(TAG, name, "", tag).await
    }

    /// Deletes those that are ours by their tag, many in one call: a fleet that shrinks has three calls a second.
    async fn delete(&mut self, names: &[&str]) {
        let mut ours: Vec<&str> = Vec::new();
        for name in names {
            match self.whose(name).await {
                Whose::Ours(_) => ours.push(name),
                // Another was faster.
                Whose::Others | Whose::Nobodys => {}
            }
        }
        for names in ours.chunks(MOST_DELETED) {
            let deleted = self.delete_together(names).await;
            for name in names {
                match &deleted {
                    Ok(()) => self.report.done.push(format!("deleted {name}")),
                    Err(failure) => self.report.failed.push(format!("{name}: {}", failure.why())),
                }
            }
        }
    }

    async fn delete_together(&self, names: &[&str]) -> Result<(), Failure> {
        let deleted = self.paced.call(|| async {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let deleted =
                self.connection.cloudwatch().delete_alarms().set_alarm_names(Some(names)).send().await;
            match deleted {
                // One was deleted underneath us, and the others are too.
                Err(error)
                    if error.as_service_error().is_some_and(DeleteAlarmsError::is_resource_not_found) =>
                {
                    Ok(())
                }
                other => other.map(|_| ()).map_err(|error| classify(&error, DELETE)),
            }
        });
        let deleted = deleted.await;
        sleep(SPACING).await;
        deleted
    }

    async fn dashboard(&mut self, name: &str, change: &Change, wanted: &Dashboard, force: bool) {
        let what = match change {
            Change::Create => "created",
            Change::Update(_) => "changed",
            Change::Edited(_) if force => "changed, by force,",
            Change::Edited(_) => {
                return self.leave(name, "a person changed it after it was made; --force writes over that");
            }
            Change::Foreign => return self.leave(name, NOT_OURS),
            Change::Same | Change::Delete => return,
        };
        // Alarms come first, and may take long: another host may have made it meanwhile.
        let is_new = matches!(change, Change::Create);
        if is_new && matches!(body(self.paced, name).await, Ok(Some(_))) {
            return;
        }
        let (connection, body) = (self.connection, wanted.signed().to_string());
        let put = || async {
            let put = connection.cloudwatch().put_dashboard().dashboard_name(name).dashboard_body(&body);
            put.send().await.map(|_| ()).map_err(|error| classify(&error, PUT_DASHBOARD))
        };
        self.call(PUT_DASHBOARD, name, &format!("{what} dashboard"), put).await;
    }

    async fn delete_dashboard(&mut self, name: &str) {
        let connection = self.connection;
        let others = self.paced.call(|| async {
            let ask = connection.cloudwatch().describe_alarms().alarm_name_prefix(PREFIX).max_records(1);
            ask.send().await.map_err(|error| classify(&error, DESCRIBE))
        });
        match others.await {
            Ok(answer) if answer.metric_alarms().is_empty() => {}
            Ok(_) => return self.leave(name, "alarms of vpcwatch remain, and the dashboard is of all hosts"),
            Err(failure) => return self.report.failed.push(format!("{name}: {}", failure.why())),
        }
        let delete = || async {
            let deleted = connection.cloudwatch().delete_dashboards().dashboard_names(name).send().await;
            match deleted {
                // Deleted underneath us: that is what was wanted. The model does not name this error of the operation.
                Err(error) if error.code().is_some_and(|code| NO_DASHBOARD.contains(&code)) => Ok(()),
                other => other.map(|_| ()).map_err(|error| classify(&error, DELETE_DASHBOARD)),
            }
        };
        self.call(DELETE_DASHBOARD, name, "deleted dashboard", delete).await;
    }

    /// Makes a group that is not there; the retention of one that is there is its owner's.
    async fn group(&mut self, group: &str, days: Option<u16>) {
        let connection = self.connection;
        // Whether one that is there then may be of an attempt whose answer was lost.
        let is_unsure = Cell::new(false);
        let created = self.paced.call(|| async {
            let created = connection.logs().create_log_group().log_group_name(group).send().await;
            let created = created.map(|_| ()).map_err(|error| classify(&error, CREATE_GROUP));
            if let Err(Failure::Retry { ambiguous: true, .. }) = &created {
                is_unsure.set(true);
            }
            created
        });
        match created.await {
            Ok(()) => self.report.done.push(format!("created log group {group}")),
            Err(Failure::Exists) => {
                if let (true, Some(days)) = (is_unsure.get(), days) {
                    let told = format!(
                        "whether it is new is not known, for an answer was lost; if it is, set its retention to {days} days by hand"
                    );
                    self.leave(group, &told);
                }
                return;
            }
            Err(failure) => return self.report.failed.push(format!("{group}: {}", failure.why())),
        }
        let Some(days) = days else { return };
        let set = || async {
            let set = connection.logs().put_retention_policy().log_group_name(group);
            let set = set.retention_in_days(days.into()).send().await;
            set.map(|_| ()).map_err(|error| classify(&error, SET_RETENTION))
        };
        if !self.call(SET_RETENTION, group, "", set).await {
            // Whoever finds it from now on takes that for its owner's will.
            let told =
                format!("{group}: what it holds is kept for ever; set its retention to {days} days by hand");
            self.report.failed.push(told);
        }
    }
}

fn request(
    connection: &Connection,
    alarm: &Alarm,
) -> aws_sdk_cloudwatch::operation::put_metric_alarm::builders::PutMetricAlarmFluentBuilder {
    let put = connection
        .cloudwatch()
        .put_metric_alarm()
        .alarm_name(&alarm.alarm_name)
        .alarm_description(&alarm.alarm_description)
        .evaluation_periods(alarm.evaluation_periods)
        .datapoints_to_alarm(alarm.datapoints_to_alarm)
        .set_threshold(alarm.threshold)
        .comparison_operator(ComparisonOperator::from(alarm.comparison_operator.as_str()))
        .treat_missing_data(&alarm.treat_missing_data)
        .actions_enabled(alarm.actions_enabled)
        .set_alarm_actions(Some(alarm.alarm_actions.clone()))
        .set_ok_actions(Some(alarm.ok_actions.clone()));
    match &alarm.measure {
        Measure::Metric(metric) => put
            .namespace(&metric.namespace)
            .metric_name(&metric.metric_name)
            .set_dimensions(Some(api_dimensions(&metric.dimensions)))
            .statistic(Statistic::from(metric.statistic.as_str()))
            .period(metric.period),
        Measure::Metrics { queries, band } => put
            .set_metrics(Some(queries.iter().map(api_query).collect()))
            .set_threshold_metric_id(band.clone()),
    }
}

fn api_dimensions(dimensions: &[Dimension]) -> Vec<ApiDimension> {
    let dimension = |d: &Dimension| ApiDimension::builder().name(&d.name).value(&d.value).build();
    dimensions.iter().map(dimension).collect()
}

fn api_query(query: &Query) -> MetricDataQuery {
    let stat = query.metric_stat.as_ref().map(|stat| {
        let metric = Metric::builder()
            .namespace(&stat.namespace)
            .metric_name(&stat.metric_name)
            .set_dimensions(Some(api_dimensions(&stat.dimensions)));
        ApiMetricStat::builder().metric(metric.build()).period(stat.period).stat(&stat.statistic).build()
    });
    MetricDataQuery::builder()
        .id(&query.id)
        .set_expression(query.expression.clone())
        .set_metric_stat(stat)
        .set_period(query.period)
        .return_data(query.return_data)
        .build()
}

fn api_tags(tags: &[(String, String)]) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Keys of an operator's tags that are there and wished for no longer.
fn surplus(there: &[Tag], tags: &[(String, String)]) -> Vec<String> {
    let named = there.iter().find(|tag| tag.key() == Some(KEYS_TAG)).and_then(Tag::value).unwrap_or_default();
    let ours = named.split(BETWEEN_KEYS).chain([KEYS_TAG]);
    let is_there = |key: &&str| there.iter().any(|tag| tag.key() == Some(key));
    let is_wished = |key: &&str| tags.iter().any(|(wished, _)| wished == key);
    ours.filter(|key| is_there(key) && !is_wished(key)).map(str::to_owned).collect()
}

/// The alarm as we describe alarms.
pub(super) fn read(alarm: &MetricAlarm) -> Alarm {
    let sorted = |actions: &[String]| {
        let mut actions = actions.to_vec();
        actions.sort();
        actions
    };
    let mut other = Vec::new();
    other.extend(alarm.extended_statistic().map(|statistic| format!("statistic {statistic}")));
    other.extend(alarm.unit().map(|unit| format!("unit {}", unit.as_str())));
    other.extend(alarm.insufficient_data_actions().iter().map(|action| format!("without data {action}")));
    for query in alarm.metrics() {
        other.extend(query.label().map(|label| format!("label {label}")));
        other.extend(query.account_id().map(|account| format!("account {account}")));
    }
    let measure = if alarm.metrics().is_empty() {
        Measure::Metric(MetricStat {
            namespace: text(alarm.namespace()),
            metric_name: text(alarm.metric_name()),
            dimensions: read_dimensions(alarm.dimensions()),
            statistic: text(alarm.statistic().map(Statistic::as_str)),
            period: alarm.period().unwrap_or_default(),
        })
    } else {
        let queries = alarm.metrics().iter().map(read_query).collect();
        Measure::Metrics { queries, band: alarm.threshold_metric_id().map(str::to_owned) }
    };
    Alarm {
        alarm_name: text(alarm.alarm_name()),
        alarm_description: text(alarm.alarm_description()),
        // With a band there is none, whatever is told in its place.
        threshold: alarm.threshold().filter(|_| alarm.threshold_metric_id().is_none()),
        measure,
        evaluation_periods: alarm.evaluation_periods().unwrap_or_default(),
        datapoints_to_alarm: alarm.datapoints_to_alarm().or(alarm.evaluation_periods()).unwrap_or_default(),
        comparison_operator: text(alarm.comparison_operator().map(ComparisonOperator::as_str)),
        treat_missing_data: text(alarm.treat_missing_data()),
        actions_enabled: alarm.actions_enabled().unwrap_or(true),
        alarm_actions: sorted(alarm.alarm_actions()),
        ok_actions: sorted(alarm.ok_actions()),
        other: other.join(", "),
    }
}

fn read_dimensions(dimensions: &[ApiDimension]) -> Vec<Dimension> {
    let read = |d: &ApiDimension| Dimension { name: text(d.name()), value: text(d.value()) };
    let mut dimensions: Vec<Dimension> = dimensions.iter().map(read).collect();
    dimensions.sort_by(|a, b| a.name.cmp(&b.name));
    dimensions
}

fn read_query(query: &MetricDataQuery) -> Query {
    let metric_stat = query.metric_stat().map(|stat| MetricStat {
        namespace: text(stat.metric().and_then(Metric::namespace)),
        metric_name: text(stat.metric().and_then(Metric::metric_name)),
        dimensions: read_dimensions(stat.metric().map(Metric::dimensions).unwrap_or_default()),
        statistic: text(stat.stat()),
        period: stat.period().unwrap_or_default(),
    });
    Query {
        id: text(query.id()),
        expression: query.expression().map(str::to_owned),
        metric_stat,
        period: query.period(),
        // What is not told is true.
        return_data: query.return_data().unwrap_or(true),
    }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}
