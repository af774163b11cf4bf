import assert from "node:assert/strict";
import { test } from "node:test";

import { Failure, config, context, log, process } from "../src/index.js";

const answers = (handler, ...records) => process(handler, records.map((record) => JSON.stringify(record)));

test("a record becomes none, one or many", () => {
  const copies = ({ n }) => (n === 1 ? { n } : n === 0 ? null : Array(n).fill({ n }));
  const one = (n) => `{"n":${n}}`;
  assert.deepEqual(answers(copies, { n: 0 }, { n: 1 }, { n: 2 }), [
    { tag: "records", val: [] },
    { tag: "records", val: [one(1)] },
    { tag: "records", val: [one(2), one(2)] },
  ]);
  assert.deepEqual(process(copies, []), []);
});

test("what is thrown fails its record alone", () => {
  const handler = ({ n }) => {
    if (n === 1) throw new Failure("Number.One", "is one", { retryable: true });
    return { n: n.toFixed() };
  };
  const [first, second, third] = answers(handler, { n: 1 }, {}, { n: 2 });
  assert.deepEqual(first, { tag: "failed", val: { code: "Number.One", message: "is one", retryable: true } });
  assert.equal(second.val.code, "TypeError");
  assert.deepEqual(third, { tag: "records", val: ['{"n":"2"}'] });
});

test("what cannot be a record fails its record", () => {
  assert.equal(answers(() => () => {}, {})[0].tag, "failed");
  assert.equal(answers(async () => ({}), {})[0].val.code, "Function.Async");
  assert.equal(process((record) => record, ["{"])[0].val.code, "SyntaxError");
});

test("outside a component the environment configures", () => {
  globalThis.process.env.RIVERHOOK_TEST_CURRENCY = "EUR";
  assert.equal(config("RIVERHOOK_TEST_CURRENCY"), "EUR");
  assert.equal(config("RIVERHOOK_TEST_MISSING"), null);
  assert.ok(context().timeLeftMs > 0);
  log.debug("goes to standard error");
});
