"""What CloudWatch and CloudWatch Logs hold in the region of the environment, read with boto3 and printed as JSON.

usage: read_back.py ENDPOINT

{"metrics": [{"namespace", "name", "dimensions": {NAME: VALUE}, "units": [...],
              "minutes": [{"start", "SampleCount", "Sum", "Minimum", "Maximum"}, ...]}, ...],
 "groups": {NAME: {"retention": DAYS or null, "streams": {NAME: [{"timestamp", "message"}, ...]}}},
 "alarms": {NAME: {as DescribeAlarms tells, without times and state, "Tags": {NAME: VALUE}}},
 "dashboards": {NAME: BODY}}

Metrics are those of the last ten minutes, in the order of namespace, name and dimensions. Times of minutes are seconds since
1970; those of events milliseconds, as CloudWatch Logs has them.
"""

import json
import sys
from datetime import datetime, timedelta, timezone

import boto3

STATISTICS = ["SampleCount", "Sum", "Minimum", "Maximum"]


def metrics(cloudwatch):
    """All metrics, each with its statistics by the minutes of the clock."""
    this_minute = datetime.now(timezone.utc).replace(second=0, microsecond=0)
    times = {"StartTime": this_minute - timedelta(minutes=10), "EndTime": this_minute + timedelta(minutes=2)}
    # By their text, for moto lists a metric of two dimensions once for each value that came.
    listed = {json.dumps(listing): listing for listing in pages(cloudwatch, "list_metrics", "Metrics")}
    found = [metric(cloudwatch, times, listing) for listing in listed.values()]
    return sorted(found, key=lambda m: (m["namespace"], m["name"], sorted(m["dimensions"].items())))


def metric(cloudwatch, times, listing):
    queries = [
        {"Id": stat.lower(), "MetricStat": {"Metric": listing, "Period": 60, "Stat": stat}} for stat in STATISTICS
    ]
    answer = cloudwatch.get_metric_data(MetricDataQueries=queries, ScanBy="TimestampAscending", **times)
    minutes = {}
    for stat, result in zip(STATISTICS, answer["MetricDataResults"], strict=True):
        for time, value in zip(result["Timestamps"], result["Values"], strict=True):
            minutes.setdefault(int(time.timestamp()), {})[stat] = value
    # Only here does an answer name the unit.
    points = cloudwatch.get_metric_statistics(**listing, **times, Period=60, Statistics=["SampleCount"])["Datapoints"]
    return {
        "namespace": listing["Namespace"],
        "name": listing["MetricName"],
        "dimensions": {dimension["Name"]: dimension["Value"] for dimension in listing["Dimensions"]},
        "units": sorted({point["Unit"] for point in points}),
        "minutes": [{"start": start, **values} for start, values in sorted(minutes.items())],
    }


def groups(logs):
    """All log groups with their streams and events."""
    return {
        group["logGroupName"]: {
            "retention": group.get("retentionInDays"),
            "streams": {
                stream["logStreamName"]: events(logs, group["logGroupName"], stream["logStreamName"])
                for stream in pages(logs, "describe_log_streams", "logStreams", logGroupName=group["logGroupName"])
            },
        }
        for group in pages(logs, "describe_log_groups", "logGroups")
    }


def alarms(cloudwatch):
    """All alarms on metrics, with their tags."""
    return {alarm["AlarmName"]: told(cloudwatch, alarm) for alarm in pages(cloudwatch, "describe_alarms", "MetricAlarms")}


def told(cloudwatch, alarm):
    tags = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    lasting = {key: value for key, value in alarm.items() if "Timestamp" not in key and not key.startswith("State")}
    return {**lasting, "Tags": {tag["Key"]: tag["Value"] for tag in tags}}


def dashboards(cloudwatch):
    """All dashboards' bodies."""
    return {
        entry["DashboardName"]: cloudwatch.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
        for entry in pages(cloudwatch, "list_dashboards", "DashboardEntries")
    }


def events(logs, group, stream):
    """All events of a stream. The end is where the token stays the same."""
    read, token = [], {}
    while True:
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True, **token)
        read += [{"timestamp": event["timestamp"], "message": event["message"]} for event in page["events"]]
        if token.get("nextToken") == page["nextForwardToken"]:
            return read
        token = {"nextToken": page["nextForwardToken"]}


def pages(client, operation, key, **parameters):
    return [item for page in client.get_paginator(operation).paginate(**parameters) for item in page[key]]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    cloudwatch, logs = (boto3.client(service, endpoint_url=sys.argv[1]) for service in ("cloudwatch", "logs"))
    held = {"metrics": metrics(cloudwatch), "groups": groups(logs)}
    json.dump({**held, "alarms": alarms(cloudwatch), "dashboards": dashboards(cloudwatch)}, sys.stdout)


if __name__ == "__main__":
    main()
