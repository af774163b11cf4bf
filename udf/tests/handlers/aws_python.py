"""An ordinary Lambda handler, for AWS's own client for Python."""

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
    return {"calls": CALLS, "event": event}
