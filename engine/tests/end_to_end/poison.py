"""A handler that doubles numbers and fails on a batch that holds the number in POISON. It counts its calls in a file."""

import json
import os
import urllib.request

API = "http://{}/2018-06-01/runtime/".format(os.environ["AWS_LAMBDA_RUNTIME_API"])
POISON = int(os.environ["POISON"])


def post(path, value):
    request = urllib.request.Request(API + path, json.dumps(value).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request).read()


while True:
    with urllib.request.urlopen(API + "invocation/next") as response:
        name = response.headers["Lambda-Runtime-Aws-Request-Id"]
        records = json.load(response)
    numbers = [record["n"] for record in records]
    with open("calls.txt", "a") as calls:
        calls.write("%d\n" % len(numbers))
    if POISON in numbers:
        post("invocation/%s/error" % name, {"errorType": "Function.Poisoned", "errorMessage": "a number is poison"})
    else:
        post("invocation/%s/response" % name, [{"n": n, "twice": 2 * n} for n in numbers])
