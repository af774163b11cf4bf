"""Write Riverhook functions in Python.

    from riverhook_function import Failure, record

    @record
    def total(order):
        if order["quantity"] < 0:
            raise Failure("Order.BadQuantity", "`quantity` must not be negative")
        return {"id": order["id"], "total": order["price"] * order["quantity"]}

The function gets one record as a dict. It returns None for no record, a dict for one or a list of dicts for many; what
it raises fails that record alone. It stays a plain function, so unit tests call it without an engine.

Inside a component the engine answers `config`, `counter` and the others. Elsewhere, as in unit tests, the log goes to
standard error, configuration comes from the environment, and metrics go nowhere.
"""

import json
import os
import sys
from dataclasses import dataclass

__all__ = ["Context", "Failure", "config", "context", "counter", "gauge", "log", "process", "record"]


class Failure(Exception):
    """Why one record failed. Raised by a function, it fails that record alone."""

    def __init__(self, code, message, *, retryable=False):
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


@dataclass(frozen=True)
class Context:
    """Which call runs, and how many seconds it may still run."""

    pipeline: str
    node: str
    function: str
    invocation_id: str
    time_left: float


class _Outside:
    """The engine's functions where there is no engine."""

    def log(self, level, message):
        print(f"{level}: {message}", file=sys.stderr)

    def config(self, name):
        return os.environ.get(name)

    def counter(self, name, value):
        pass

    def gauge(self, name, value):
        pass

    def context(self):
        return Context("", "", "", "", 1.0)


# The component's entry puts the engine's in its place.
_host = _Outside()
_function = None


def record(function):
    """Marks the one function of a module that the component runs, and leaves it as it is."""
    global _function
    _function = function
    return function


class _Log:
    """Lines for the function's log."""

    def error(self, message):
        _host.log("error", str(message))

    def warn(self, message):
        _host.log("warn", str(message))

    def info(self, message):
        _host.log("info", str(message))

    def debug(self, message):
        _host.log("debug", str(message))

    def trace(self, message):
        _host.log("trace", str(message))


log = _Log()


def config(name):
    """The value of this name under the function's `env:` in the pipeline file, or None."""
    return _host.config(name)


def counter(name, value=1):
    """Adds to a counter of this function among the engine's metrics."""
    _host.counter(name, value)


def gauge(name, value):
    """Sets a gauge of this function, with a finite value."""
    _host.gauge(name, float(value))


def context():
    """Which call this is, and how much time it has left."""
    return _host.context()


def process(function, texts):
    """What the engine gets for JSON texts of records: for each a list of texts, or the Failure."""
    return [_answer(function, text) for text in texts]


def _answer(function, text):
    try:
        output = function(json.loads(text))
        if output is None:
            return []
        outputs = output if isinstance(output, list) else [output]
        # NaN and the infinities are no JSON: better an error here than at the engine.
        return [json.dumps(one, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for one in outputs]
    except Failure as failure:
        return failure
    except Exception as error:
        return Failure(type(error).__name__, str(error))
