import assert from "node:assert/strict";
import { test } from "node:test";

import total from "./function.js";

test("an order gets its total", () => {
  assert.deepEqual(total({ id: 1, price: 2.5, quantity: 4 }), { id: 1, total: 10 });
});

test("an empty order is dropped and a negative one fails", () => {
  assert.equal(total({ id: 1, price: 2.5, quantity: 0 }), null);
  assert.throws(() => total({ id: 1, price: 2.5, quantity: -1 }), { code: "Order.BadQuantity" });
});
