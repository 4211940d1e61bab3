"""What a person does to alarms and dashboards behind the agent's back, with boto3.

usage: person.py ENDPOINT make-alarm NAME | edit-alarm NAME THRESHOLD | delete-alarm NAME | make-dashboard NAME | edit-dashboard NAME
"""

import json
import sys

import boto3

BODY = {"widgets": [{"type": "text", "x": 0, "y": 0, "width": 6, "height": 2, "properties": {"markdown": "mine"}}]}
# What PutMetricAlarm takes of what DescribeAlarms tells.
KEPT = [
    "AlarmDescription", "ActionsEnabled", "OKActions", "AlarmActions", "MetricName", "Namespace", "Statistic",
    "Dimensions", "Period", "EvaluationPeriods", "DatapointsToAlarm", "ComparisonOperator", "TreatMissingData",
]


def main():
    endpoint, what, name, *more = sys.argv[1:]
    cloudwatch = boto3.client("cloudwatch", endpoint_url=endpoint)
    if what == "make-alarm":
        cloudwatch.put_metric_alarm(
            AlarmName=name, Namespace="Mine", MetricName="mine", Statistic="Sum", Period=60, EvaluationPeriods=1,
            Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )
    elif what == "edit-alarm":
        alarm = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
        kept = {key: alarm[key] for key in KEPT if key in alarm}
        cloudwatch.put_metric_alarm(AlarmName=name, Threshold=float(more[0]), **kept)
    elif what == "delete-alarm":
        cloudwatch.delete_alarms(AlarmNames=[name])
    elif what == "make-dashboard":
        cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(BODY))
    elif what == "edit-dashboard":
        body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
        body["widgets"].append(BODY["widgets"][0])
        cloudwatch.put_dashboard(DashboardName=name, DashboardBody=json.dumps(body))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
