//! The agent as a program.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

/// The agent's path.
pub(crate) const PATH: &str = env!("CARGO_BIN_EXE_agent-under-test");

/// The agent's command, with nothing of this machine's configuration or environment.
pub(crate) fn command() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(PATH);
    command.env_clear().timeout(Duration::from_mins(1));
    command
}

/// Runs the agent with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

/// What the agent printed, if it ended with this code.
#[track_caller]
pub(crate) fn printed(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// One snapshot of that root.
pub(crate) fn sample(root: &Path) -> Value {
    let output = run(&["sample", "--root", root.to_str().unwrap()]);
    serde_json::from_str(&printed(&output, 0)).unwrap()
}

/// The JSON lines that a run printed.
pub(crate) fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sum and number of all values of a metric, wherever it has further dimensions.
pub(crate) fn total(lines: &[Value], metric: &str) -> (u64, u64) {
    let (mut sum, mut count) = (0, 0);
    for datum in lines.iter().filter(|line| line["MetricName"] == metric) {
        let whole = |key: &str| {
            datum[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect::<Vec<_>>()
        };
        for (value, times) in whole("Values").into_iter().zip(whole("Counts")) {
            sum += value * times;
            count += times;
        }
    }
    (sum, count)
}
