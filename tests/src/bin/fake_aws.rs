//! `fake-aws [--port N] [--imds-port N]`: CloudWatch, CloudWatch Logs and instance metadata on loopback, to try the agent
//! on a machine without AWS. Prints what to export, then a line a request, until it is stopped.
#![expect(clippy::print_stdout, reason = "a program; this is what it has to say")]

use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use vpcwatch_tests::fake_aws::{FakeAws, Request};
use vpcwatch_tests::fake_imds::FakeImds;

fn main() -> anyhow::Result<()> {
    let (mut port, mut imds_port) = (0, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let place = match option.as_str() {
            "--port" => &mut port,
            "--imds-port" => &mut imds_port,
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => bail!("{USAGE}"),
        };
        let number = arguments.next().with_context(|| format!("{option} needs a number"))?;
        *place = number.parse().with_context(|| format!("{option} {number}"))?;
    }
    let aws = FakeAws::start_at((Ipv4Addr::LOCALHOST, port))?;
    let imds = FakeImds::start_at((Ipv4Addr::LOCALHOST, imds_port))?;
    aws.count_only(); // it may run for days
    aws.on_request(show);
    imds.on_request(|method, path, status| println!("metadata       {status} {method} {path}"));
    for (name, value) in aws.environment().into_iter().chain(imds.environment()) {
        println!("export {name}={value}");
    }
    loop {
        std::thread::park();
    }
}

const USAGE: &str = "usage: fake-aws [--port N] [--imds-port N]\n\
    CloudWatch, CloudWatch Logs and instance metadata on loopback, at any free ports or at those";

fn show(request: &Request) {
    let Request { operation, records, rejected, bytes, error, .. } = request;
    let status = request.status.map_or_else(|| "---".into(), |status| status.to_string());
    let gzip = if request.gzip { " gzip" } else { "" };
    let rejected = if *rejected > 0 { format!(", {rejected} rejected") } else { String::new() };
    let error = error.as_ref().map(|error| format!(" {error}")).unwrap_or_default();
    println!("{operation:14} {status} {records} records{rejected}, {bytes} bytes{gzip}{error}");
}
