import assert from "node:assert/strict";
import { test } from "node:test";

import check from "./check.js";

const good = { id: "1", street: "Lange Gasse 5", postcode: "1080", city: "Wien", country: "AT" };

test("a good address stays as it is", () => {
  assert.deepEqual(check(good), { ...good, corrected: false });
});

test("spaces and capitals are put right", () => {
  const untidy = { ...good, street: " Lange  Gasse 5", country: "at" };
  assert.deepEqual(check(untidy), { ...good, corrected: true });
});

test("what no letter would reach fails", () => {
  const fails = (change, code) => assert.throws(() => check({ ...good, ...change }), { code });
  fails({ street: null }, "Address.NoStreet");
  fails({ street: "Lange Gasse" }, "Address.NoHouseNumber");
  fails({ city: " " }, "Address.NoCity");
  fails({ country: "Atlantis" }, "Address.UnknownCountry");
  fails({ postcode: "A-1080" }, "Address.BadPostcode");
});
