"""A handler of the Lambda Runtime API without a client: doubles numbers, and fails where it is told to.

It gets the records as a JSON array. A record {"n": 13} makes it crash, {"n": 14} makes it answer an error. Each call takes
as long as the variable SECONDS says.
"""

import json
import os
import sys
import time
import urllib.request

API = "http://{}/2018-06-01/runtime/".format(os.environ["AWS_LAMBDA_RUNTIME_API"])


def post(path, value):
    request = urllib.request.Request(API + path, json.dumps(value).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request).read()


while True:
    with urllib.request.urlopen(API + "invocation/next") as response:
        name = response.headers["Lambda-Runtime-Aws-Request-Id"]
        records = json.load(response)
    numbers = [record["n"] for record in records]
    print("got", len(numbers), os.environ["GREETING"], flush=True)
    time.sleep(float(os.environ.get("SECONDS", "0")))
    if 13 in numbers:
        sys.exit(7)
    if 14 in numbers:
        post("invocation/%s/error" % name, {"errorType": "Function.Unlucky", "errorMessage": "fourteen"})
    else:
        post("invocation/%s/response" % name, [{"n": n, "twice": 2 * n} for n in numbers])
