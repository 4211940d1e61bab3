//! An access log of all that logs may hold, measured by a running agent: what is odd is counted, said once, and the rest goes on.

use crate::delivery::wait_for;
use crate::shipping::Shop;

const MEASURED: &str = "web.logs=[{ name = 'shop', files = ['/var/log/shop.log'] }]";

/// A line as nginx writes it with a time of its own form behind.
fn line(date: &str, request: &str, status: u16, time: &str) -> String {
    format!("192.0.2.4 - - [{date} +0000] \"{request}\" {status} 612 \"-\" \"x \\\"y\\\"\" {time}\n")
}

#[test]
fn odd_lines_are_counted_and_said_once_and_the_rest_goes_on() {
    let shop = Shop::new("");
    let measured = ["--set", MEASURED, "--set", "metrics.set=full"];
    shop.begin_with("pattern ", &measured);
    let mut running = shop.run(&measured);
    let day = shop.aws.now().strftime("%d/%b/%Y:%H:%M:%S").to_string();
    let usual = line(&day, "GET /a HTTP/1.1", 200, "rt=0.100");
    let odd = [
        line(&day, "GET /\\\"b HTTP/1.1", 404, "rt=0.100"),
        line(&day, "GET / HTTP/1.1", 200, "-0.001"),
        line(&day, "GET / HTTP/1.1", 200, "1234"),
        line("01/Jan/2099:00:00:00", "GET / HTTP/1.1", 200, "rt=0.100"),
        "{\"remote_addr\":\"192.0.2.4\",\"status\":500,\"request_time\":0.250,\"request\":\"GET / HTTP/1.1\"}\n".to_owned(),
        format!("{}\n", "x".repeat(1_000_000)),
        "what is this\n".to_owned(),
    ];
    let odd = odd.concat();
    shop.append(&[usual.as_str(), &odd, &odd, &usual].concat());
    // How many samples, and their sum.
    let sum = |metric: &str| {
        let data = shop.aws.metrics().into_iter().filter(|datum| datum.name == metric);
        let (samples, sum) =
            data.fold((0.0, 0.0), |(samples, sum), datum| (samples + datum.sum().0, sum + datum.sum().1));
        #[expect(clippy::cast_possible_truncation, reason = "whole counts, and milliseconds of a test")]
        [samples, sum].map(|number| number.round() as i64)
    };
    wait_for(&shop.aws, "each request", |_| sum("http_requests")[1] >= 12);
    wait_for(&shop.aws, "what is no request", |_| sum("agent_log_lines_unread")[1] >= 4);
    assert_eq!(["http_requests", "http_4xx", "http_5xx"].map(|metric| sum(metric)[1]), [12, 2, 2]);
    // Of the others it is not known; two of 250 ms, six of 100, each to 1.6 %.
    let [known, milliseconds] = sum("http_request_latency");
    assert!(known == 8 && (milliseconds - 1100).abs() <= 17, "{known} {milliseconds}");
    running.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = running.end();
    assert_eq!(code, Some(0), "{stderr}");
    for remark in [
        "are not understood",
        "a number without a unit",
        "ahead of this host",
        "the format changes",
        "is negative",
    ] {
        let times = stderr.lines().filter(|line| line.contains(remark) && line.contains("/var/log/shop.log"));
        assert_eq!(times.count(), 1, "{remark}: {stderr}");
    }
}
