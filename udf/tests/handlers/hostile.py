"""A handler that speaks the Runtime API with nothing but the standard library, and does what its event says.

`hostile.py [START]`, where START is what it does instead of starting: hang, exit, error, or once FILE, which fails until the file is there.
An event is {"do": ACTION, …}, or a list of one of these; see the functions at the end. Any other event is answered as
it is.
"""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
BASE = "/2018-06-01/runtime"
# The ids of the events so far, the latest last.
IDS = []


def request(method, path, body=None, headers=None, connection=None):
    connection = connection or http.client.HTTPConnection(API)
    connection.request(method, BASE + path, body, headers or {})
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def respond(id, body, headers=None):
    return request("POST", f"/invocation/{id}/response", body, headers)


def raw(data, close=True):
    """Sends bytes as they are; returns what came back."""
    host, port = API.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(data)
    if close:
        connection.close()
        return b""
    return connection.recv(65536)


def head(id, length):
    return f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def do_loop(id, event):
    while True:
        pass


def do_grow(id, event):
    kept = []
    while True:
        kept.append(b"x" * (4 << 20))
        time.sleep(0.001)


def do_fork_and_grow(id, event):
    """The memory is a child's, in a process group of its own."""
    if os.fork() == 0:
        os.setpgid(0, 0)
        do_grow(id, event)
    time.sleep(3600)


def do_fork_bomb(id, event):
    # A bomb with a fuse: should nobody stop it, it ends by itself.
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            if os.fork() == 0 and event.get("daemons"):
                os.setsid()
        except OSError:
            time.sleep(0.1)
    os._exit(0)


def do_fork(id, event):
    """Leaves processes behind: one in the group, one that is a session of its own, and says who."""
    kept = [subprocess.Popen(["sleep", "1000"]), subprocess.Popen(["sleep", "1000"], start_new_session=True)]
    respond(id, json.dumps([child.pid for child in kept]))


def do_fork_and_exit(id, event):
    child = subprocess.Popen(["sleep", "1000"])
    print("left", child.pid, flush=True)
    os._exit(4)


def do_exit(id, event):
    print("first words", file=sys.stderr)
    print("last words", file=sys.stderr, flush=True)
    os._exit(event.get("status", 3))


def do_kill(id, event):
    os.kill(os.getpid(), signal.SIGSEGV)


def do_answer_and_exit(id, event):
    respond(id, b'"the last"')
    os._exit(0)


def do_environment(id, event):
    respond(id, json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "files": sorted(os.listdir("/proc/self/fd"))}))


def do_headers(id, event):
    respond(id, json.dumps(LAST_HEADERS))


def do_large(id, event):
    """Answers so many bytes, and tells by the next event's answer what it was told."""
    global NOTE
    body = b'"' + b"x" * (event["bytes"] - 2) + b'"'
    status, _, text = respond(id, body)
    NOTE = {"status": status, "body": json.loads(text)}


def do_large_in_parts(id, event):
    """The same without holding it."""
    host, port = API.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(head(id, event["bytes"]))
    part = b" " * 0x10000
    for _ in range(event["bytes"] // len(part)):
        connection.sendall(part)
    connection.sendall(part[: event["bytes"] % len(part)])
    connection.recv(65536)


def do_endless(id, event):
    """A body that does not end, in chunks."""
    host, port = API.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while True:
        connection.sendall(chunk)


def do_note(id, event):
    respond(id, json.dumps(NOTE))


def do_garbage(id, event):
    raw(b"\x00\xff garbage \r\n\r\n" * 1000)
    raw(b"GET / HTTP/9.9\r\n\r\n")
    raw(b"GET " + b"x" * 200_000)
    raw(f"GET {BASE}/invocation/next HTTP/1.1\r\n".encode() + b"".join(b"h%d: x\r\n" % i for i in range(5000)) + b"\r\n")
    respond(id, b'"after garbage"')


def do_bad_answer(id, event):
    respond(id, b'[{"n":')


def do_cut(id, event):
    """Closes the socket in the middle of an answer, then answers whole."""
    raw(head(id, 1000) + b'"half')
    time.sleep(0.05)
    status, _, _ = respond(id, b'"whole"')
    while status != 202:
        time.sleep(0.01)
        status, _, _ = respond(id, b'"whole"')


def do_cut_for_ever(id, event):
    raw(head(id, 1000) + b'"half')
    time.sleep(3600)


def do_connections(id, event):
    """Opens more connections than are allowed and keeps them, each with half a request."""
    host, port = API.split(":")
    KEPT.extend(socket.create_connection((host, int(port))) for _ in range(event["count"]))
    for connection in KEPT:
        connection.sendall(b"GET /half HTTP/1.1\r\n")
    respond(id, b'"through"')


def do_late(id, event):
    """Answers the event before this one once more, then an event that never was, then this."""
    told = [respond(old, b'"late"') for old in (IDS[-2], "no-such-id", "00000000-0000-0000-0000-000000000000")]
    status = request("POST", f"/invocation/{IDS[-2]}/error", b"{}")[0]
    respond(id, json.dumps([[told[i][0], json.loads(told[i][2])["errorType"]] for i in range(3)] + [status]))


def do_late_and_well(id, event):
    """Answers all events before this one once more, then this one with itself."""
    for old in IDS[:-1]:
        respond(old, b"[]")
    respond(id, json.dumps([event]))


def do_twice(id, event):
    global NOTE
    first = respond(id, b'"first"')
    second = respond(id, b'"second"')
    NOTE = [[first[0], json.loads(first[2])], [second[0], json.loads(second[2])["errorType"]]]


def do_states(id, event):
    """Calls that are not allowed now, or not at all."""
    calls = [
        request("GET", "/invocation/next"),
        request("POST", "/init/error", b"{}"),
        request("GET", f"/invocation/{id}/response"),
        request("POST", "/invocation/next"),
        request("GET", "/no/such/call"),
        respond(id, b"1", {"Lambda-Runtime-Function-Response-Mode": "carrier pigeon"}),
    ]
    respond(id, json.dumps([[status, json.loads(body)["errorType"]] for status, _, body in calls]))


def do_error(id, event):
    body = {"errorType": event["type"], "errorMessage": event["message"], "stackTrace": []}
    headers = {"Lambda-Runtime-Function-Error-Type": event["type"]}
    request("POST", f"/invocation/{id}/error", json.dumps(body), headers)


def do_stream(id, event):
    """Answers in chunks, with the event's trailers."""
    trailers = event.get("trailers", {})
    text = f"POST {BASE}/invocation/{id}/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    text += "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    text += "".join(f"Trailer: {name}\r\n" for name in trailers) + "\r\n"
    text += "3\r\n[1,\r\n2\r\n2]\r\n0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers.items()) + "\r\n"
    raw(text.encode(), close=False)


def do_log(id, event):
    print("out", "x" * event.get("length", 0))
    print("err", file=sys.stderr)
    for line in range(event.get("lines", 0)):
        print("line", line)
    sys.stdout.write("not ended")
    sys.stdout.flush()
    sys.stderr.flush()
    respond(id, b"null")


def do_flood(id, event):
    while True:
        sys.stdout.write("x" * 8191 + "\n")


def do_sleep(id, event):
    time.sleep(event["seconds"])
    respond(id, b'"slept"')


def do_ignore_term(id, event):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    respond(id, b"null")


def do_lose_poll(id, event):
    """Answers, and asks for the next event on a connection that it closes without having read it."""
    respond(id, b'"answered"')
    host, port = API.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(f"GET {BASE}/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    select.select([connection], [], [])
    connection.close()


NOTE = None
KEPT = []
LAST_HEADERS = {}


def main():
    global LAST_HEADERS
    start = sys.argv[1] if len(sys.argv) > 1 else None
    if start == "hang":
        time.sleep(3600)
    if start == "exit":
        print("cannot find my model", file=sys.stderr, flush=True)
        os._exit(7)
    if start == "error":
        body = {"errorType": "Runtime.ImportModuleError", "errorMessage": "no module named app"}
        request("POST", "/init/error", json.dumps(body), {"Lambda-Runtime-Function-Error-Type": body["errorType"]})
        time.sleep(3600)
    if start == "once":
        # Starts well only if the file named next is there.
        if not os.path.exists(sys.argv[2]):
            os._exit(1)
    poll = http.client.HTTPConnection(API)
    while True:
        status, headers, body = request("GET", "/invocation/next", connection=poll)
        assert status == 200, (status, body)
        LAST_HEADERS = dict(headers)
        id = headers["Lambda-Runtime-Aws-Request-Id"]
        IDS.append(id)
        event = json.loads(body)
        if isinstance(event, list) and len(event) == 1 and isinstance(event[0], dict):
            event = event[0]
        action = event.get("do") if isinstance(event, dict) else None
        if action:
            globals()["do_" + action](id, event)
        else:
            respond(id, body)


main()
