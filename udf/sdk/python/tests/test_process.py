import json
import os
import unittest

from riverhook_function import Failure, config, context, process, record


def answers(function, *records):
    return process(function, [json.dumps(one) for one in records])


class ProcessTest(unittest.TestCase):
    def test_a_record_becomes_none_one_or_many(self):
        copies = {0: None, 1: {"n": 1}, 2: [{"n": 2}, {"n": "é"}]}
        got = answers(lambda order: copies[order["n"]], {"n": 0}, {"n": 1}, {"n": 2})
        self.assertEqual(got, [[], ['{"n":1}'], ['{"n":2}', '{"n":"é"}']])
        self.assertEqual(process(copies.get, []), [])

    def test_what_is_raised_fails_its_record_alone(self):
        @record
        def inverse(order):
            if order["n"] == 1:
                raise Failure("Number.One", "is one", retryable=True)
            return {"n": 1 / order["n"]}

        one, zero, missing, two = answers(inverse, {"n": 1}, {"n": 0}, {}, {"n": 2})
        self.assertEqual((one.code, one.message, one.retryable), ("Number.One", "is one", True))
        self.assertEqual((zero.code, zero.retryable), ("ZeroDivisionError", False))
        self.assertEqual(missing.code, "KeyError")
        self.assertEqual(two, ['{"n":0.5}'])

    def test_what_cannot_be_a_record_fails_its_record(self):
        for bad in (object(), float("nan"), [{1, 2}]):
            (answer,) = answers(lambda _, bad=bad: bad, {})
            self.assertIsInstance(answer, Failure)
        self.assertEqual(process(dict, ["{"])[0].code, "JSONDecodeError")

    def test_outside_a_component_the_environment_configures(self):
        os.environ["RIVERHOOK_TEST_CURRENCY"] = "EUR"
        self.assertEqual(config("RIVERHOOK_TEST_CURRENCY"), "EUR")
        self.assertIsNone(config("RIVERHOOK_TEST_MISSING"))
        self.assertGreater(context().time_left, 0)


if __name__ == "__main__":
    unittest.main()
