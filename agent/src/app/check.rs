//! `vpcwatch check`: looks at the host, the configuration and AWS as the agent will, once, and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::agent::aws_settings;
use super::on_one_thread;
use super::provision::check_topics;
use super::ship::tail_of;
use crate::aws::{Aws, ServerClock};
use crate::check::{Checked, Line, Verdict, permissions};
use crate::config::Config;
use crate::host::clock::{Monotonic, wall};
use crate::host::identity as who;
use crate::host::paths::Paths;
use crate::model::alarms::Scope;
use crate::model::snapshot::SourceOutcome;
use crate::sampler::Sampler;
use crate::service::status::Status;
use crate::tail::{self, Cursors, Read, Tail};
use crate::{provision, sources};

const HOST: &str = "host";
const CONFIGURATION: &str = "configuration";
const AWS: &str = "aws";
/// What a log may take to be opened.
const LOG: Duration = Duration::from_millis(300);
/// What instance metadata may take.
const METADATA: Duration = Duration::from_secs(3);
/// Seconds that this host's clock may be off before it is said; timestamps are corrected in any case.
const MOST_OFFSET: i64 = 5;

/// The preflight.
#[derive(Debug)]
pub struct Check {
    /// The checked configuration.
    pub config: Config,
    /// Where the host's files are.
    pub paths: Paths,
    /// Whether AWS is left out: an image that is built has no role.
    pub offline: bool,
}

/// What is wrong with logs, each; else one line that says which they are.
fn logs(name: &str, readers: Vec<Box<dyn Tail>>, told: String) -> Vec<Line> {
    let read = readers.into_iter().flat_map(|mut reader| reader.read(LOG));
    let troubles = read.filter_map(|read| match read {
        Read::Trouble { log, what } if what.contains(&log) => Some((name.to_owned(), what)),
        Read::Trouble { log, what } => Some((format!("{name}: {log}"), what)),
        _ => None,
    });
    let troubles: Vec<Line> =
        troubles.map(|(of, what)| Line::new(HOST, &of, Verdict::Degraded, what)).collect();
    if troubles.is_empty() { vec![Line::new(HOST, name, Verdict::Ok, told)] } else { troubles }
}

impl Check {
    /// Looks at everything.
    pub fn run(self) -> anyhow::Result<Checked> {
        let mut lines = self.host();
        lines.extend(self.configuration());
        if !self.offline {
            lines.extend(on_one_thread(async { Ok(self.aws().await) })?);
        }
        Ok(Checked { lines })
    }

    fn host(&self) -> Vec<Line> {
        let all = sources::all(&self.paths, self.config.sources.clone(), None);
        let snapshot = Sampler::new(all, Monotonic::start()).sample();
        let mut lines: Vec<Line> = snapshot
            .sources
            .into_iter()
            .map(|source| {
                let verdict = match source.outcome {
                    SourceOutcome::Ok | SourceOutcome::Absent => Verdict::Ok,
                    SourceOutcome::Degraded => Verdict::Degraded,
                    SourceOutcome::Failed => Verdict::Missing,
                };
                Line::new(HOST, &source.name, verdict, source.message.unwrap_or_default())
            })
            .collect();
        let (readers, told) = tail::all(&self.config.tails, &self.paths, &Cursors::new());
        lines.extend(logs("logs", readers, told));
        for log in self.config.shipped.iter() {
            let (reader, told) = tail_of(log, &self.paths, Cursors::new());
            lines.extend(logs(&format!("shipped log {}", log.name), vec![reader], told));
        }
        lines.push(self.state());
        lines
    }

    /// Whether the state folder can be written to, or an agent does it already.
    fn state(&self) -> Line {
        let folder = &self.config.state_folder;
        let what = format!("state in {}", folder.display());
        let status = self.config.status_file.as_deref().map(Status::read);
        if status.is_some_and(|status| status.is_ok_and(|status| !status.is_stale())) {
            return Line::new(HOST, &what, Verdict::Ok, "an agent runs; `vpcwatch status` tells how it is");
        }
        let probe = folder.join(".check");
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)));
        match written {
            Ok(()) => Line::new(HOST, &what, Verdict::Ok, ""),
            Err(error) => {
                let told = format!(
                    "{error}; without it an outage or a restart loses data. The service's own folder is its user's alone: try \
                     `systemd-run --wait --pipe --uid=vpcwatch vpcwatch check`"
                );
                Line::new(HOST, &what, Verdict::Degraded, told)
            }
        }
    }

    fn configuration(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let wishes = &self.config.wishes;
        if wishes.scope != Some(Scope::None) && wishes.actions.is_empty() {
            let told = "the alarms notify nobody: write the ARN of an SNS topic into provision.actions";
            lines.push(Line::new(CONFIGURATION, "provision.actions", Verdict::Degraded, told));
        }
        if !self.config.provision_at_start.applies(self.is_instance()) {
            let told = "the agent makes no alarms here; `vpcwatch provision apply` does, or provision.at_start = true";
            lines.push(Line::new(CONFIGURATION, "provision.at_start", Verdict::Degraded, told));
        }
        lines
    }

    fn is_instance(&self) -> bool {
        who::is_ec2(&self.paths, |name| std::env::var(name).ok())
    }

    async fn aws(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let on_ec2 = self.is_instance();
        let aws = match Aws::new(aws_settings(&self.config), on_ec2) {
            Ok(aws) => aws,
            Err(error) => return vec![Line::new(AWS, "client", Verdict::Missing, error.to_string())],
        };
        let mut region = None;
        if on_ec2 {
            let asked = timeout(METADATA, who::instance(aws.metadata())).await;
            let told = asked
                .map_err(|_| "no answer".to_owned())
                .and_then(|answer| answer.map_err(|e| e.to_string()));
            lines.push(match told {
                Ok(instance) => {
                    region = Some(instance.region);
                    Line::new(AWS, "instance metadata", Verdict::Ok, instance.instance_id)
                }
                Err(why) => Line::new(AWS, "instance metadata", Verdict::Missing, why),
            });
        }
        let clock = Arc::new(ServerClock::default());
        let connection = aws.connect(region.as_deref(), &clock).await;
        let Some(region) = connection.region() else {
            let told = "none: set aws.region or AWS_REGION, or run it on an EC2 instance";
            lines.push(Line::new(AWS, "region", Verdict::Missing, told));
            return lines;
        };
        lines.push(Line::new(AWS, "region", Verdict::Ok, region));
        if let Err(why) = check_topics(&self.config, region) {
            lines.push(Line::new(AWS, "topics", Verdict::Missing, why));
        }
        let provisions = self.config.provision_at_start.applies(on_ec2);
        let actions: Vec<&str> = permissions::ACTIONS
            .iter()
            .map(|(action, _)| *action)
            .filter(|action| provisions || provision::policy::RUNTIME.contains(action))
            .collect();
        let group = &self.config.settings.findings_group;
        lines.extend(permissions::check(&connection, group, &actions, wall()).await);
        let offset = clock.offset_ms() / 1000;
        if offset.abs() > MOST_OFFSET {
            let told = format!(
                "{offset} s off CloudWatch's; timestamps are corrected, but logins in log files have the host's: look at chrony"
            );
            lines.push(Line::new(HOST, "clock", Verdict::Degraded, told));
        }
        lines
    }
}
