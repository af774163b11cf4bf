"""An ordinary Lambda handler, for AWS's own client for Python.

A record of Kafka is {"n": NUMBER, "do": null, "fail" or "sleep"}, and one that does not fail becomes a record.
"""

import base64
import json
import os
import time

CALLS = 0


def handler(event, context):
    global CALLS
    CALLS += 1
    action = event.get("do")
    if action == "raise":
        raise ValueError("bad " + event["what"])
    if action == "sleep":
        time.sleep(event["seconds"])
    if action == "exit":
        os._exit(9)
    if action == "context":
        return {
            "id": context.aws_request_id,
            "arn": context.invoked_function_arn,
            "name": context.function_name,
            "version": context.function_version,
            "memory": context.memory_limit_in_mb,
            "group": context.log_group_name,
            "left": context.get_remaining_time_in_millis(),
        }
    if action == "large":
        return "x" * event["bytes"]
    if action == "print":
        print("hello from the handler")
    if action == "kafka":
        failures = [
            {"itemIdentifier": {"partition": partition, "offset": record["offset"]}}
            for partition, records in event["records"].items()
            for record in records
            if record["offset"] % 2
        ]
        return {"batchItemFailures": failures}
    if event.get("eventSource") == "SelfManagedKafka":
        return records(event["records"])
    return {"calls": CALLS, "event": event}


def records(partitions):
    made, failed = [], []
    for partition, records in partitions.items():
        for record in records:
            value = json.loads(base64.b64decode(record["value"]))
            if value.get("do") == "sleep":
                time.sleep(60)
            if value.get("do") == "fail":
                failed.append({"itemIdentifier": {"partition": partition, "offset": record["offset"]}})
            made.append({"n": value["n"], "calls": CALLS})
    return {"batchItemFailures": failed} if failed else made
