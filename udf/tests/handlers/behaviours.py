"""The code of the conformance suite's functions: `behaviours.py BEHAVIOUR`. An event is an array of rows."""

import http.client
import json
import os
import sys
import time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime/invocation/"


def bad(row):
    return row["id"] < 0


def behave(behaviour, rows):
    """The answer as bytes, or an exception for a call that failed."""
    if behaviour == "filter":
        rows = [row for row in rows if not bad(row)]
    elif behaviour == "twice":
        rows = [row for row in rows for _ in range(2)]
    elif behaviour == "relabel":
        rows = [{"label": f"row {row['id']}"} for row in rows]
    elif behaviour == "fail-rows":
        failures = [{"itemIdentifier": str(index)} for index, row in enumerate(rows) if bad(row)]
        if failures:
            rows = {"batchItemFailures": failures}
    elif any(bad(row) for row in rows):
        if behaviour == "fail-batch":
            raise ValueError("there is a bad row")
        if behaviour == "hang":
            time.sleep(3600)
        if behaviour == "crash":
            os._exit(1)
        if behaviour == "grow":
            kept = []
            while True:
                kept.append(b"x" * (1 << 20))
                time.sleep(0.001)
        if behaviour == "flood":
            return b"[" + b" " * (1 << 20) + b"]"
        if behaviour == "garbage":
            return b'[{"id":1,"text":'
        if behaviour == "nap":
            time.sleep(0.4)
    return json.dumps(rows).encode()


def main():
    behaviour = sys.argv[1]
    if behaviour == "slow-start":
        time.sleep(0.6)
    connection = http.client.HTTPConnection(API)

    def request(method, path, body=None, headers={}):
        connection.request(method, BASE + path, body, headers)
        response = connection.getresponse()
        return response.headers, response.read()

    while True:
        headers, event = request("GET", "next")
        id = headers["Lambda-Runtime-Aws-Request-Id"]
        try:
            request("POST", id + "/response", behave(behaviour, json.loads(event)))
        except ValueError as error:
            body = json.dumps({"errorType": "ValueError", "errorMessage": str(error)})
            request("POST", id + "/error", body, {"Lambda-Runtime-Function-Error-Type": "ValueError"})


main()
