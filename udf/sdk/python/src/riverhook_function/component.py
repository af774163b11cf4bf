"""The component's exports, on top of the function that a module has marked. Only a component can import this."""

import riverhook_function
from wit_world.exports import records as wit
from wit_world.imports import host


class _Engine:
    """The engine's functions in the form that `riverhook_function` uses."""

    def log(self, level, message):
        host.log(host.Level[level.upper()], message)

    def config(self, name):
        return host.config(name)

    def counter(self, name, value):
        host.counter(name, value)

    def gauge(self, name, value):
        host.gauge(name, value)

    def context(self):
        call = host.context()
        return riverhook_function.Context(
            call.pipeline, call.node, call.function, call.invocation_id, call.deadline_ms / 1000
        )


riverhook_function._host = _Engine()


class Records:
    def process(self, records):
        return [_to_wit(answer) for answer in riverhook_function.process(riverhook_function._function, records)]


def _to_wit(answer):
    if isinstance(answer, riverhook_function.Failure):
        return wit.Answer_Failed(wit.Failure(answer.code, answer.message, answer.retryable))
    return wit.Answer_Records(answer)
