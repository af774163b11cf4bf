"""A handler of the Lambda Runtime API whose answers are values for SQL: for each number its double.

It gets the records as a JSON array and answers an array with one value for each: null for 5, and what the environment
asks for. A 13 makes it crash; where there is a 14 it says no.
"""

import json
import os
import sys
import urllib.request

API = "http://{}/2018-06-01/runtime/".format(os.environ["AWS_LAMBDA_RUNTIME_API"])


def post(path, value):
    request = urllib.request.Request(API + path, json.dumps(value).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request).read()


def value(n):
    if n == 5:
        return None
    return {"twice": 2 * n, "text": "n%d" % n} if os.environ["SHAPE"] == "struct" else 2 * n


while True:
    with urllib.request.urlopen(API + "invocation/next") as response:
        name = response.headers["Lambda-Runtime-Aws-Request-Id"]
        records = json.load(response)
    numbers = [record["n"] for record in records]
    if 13 in numbers:
        sys.exit(7)
    if 14 in numbers:
        post("invocation/%s/error" % name, {"errorType": "Function.Unlucky", "errorMessage": "fourteen"})
    else:
        post("invocation/%s/response" % name, [value(n) for n in numbers])
