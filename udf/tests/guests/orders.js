// Totals of orders: the same as `orders/src/lib.rs`, in JavaScript.
//
// Build it, from this folder, once `npm install --no-save ../../sdk/js` has been run here:
// `npx riverhook-function build orders.js -o orders_js.wasm --size`

import { Failure, config, context, counter, gauge, log } from "riverhook-function";

export default function total({ id, price, quantity }) {
  counter("orders");
  if (quantity < 0) throw new Failure("Order.BadQuantity", "`quantity` must not be negative");
  if (quantity === 0) return null;
  const total = price * quantity;
  gauge("last_total", total);
  const one = { id, total, currency: config("CURRENCY") ?? "EUR" };
  // Which call it is.
  if (id === 0) return { ...one, currency: aboutTheCall() };
  // What does not fit the schema, which wants a currency, beside what does.
  if (id === 13) return [one, { ...one, currency: null }];
  if (quantity > 100) {
    log.info(`order ${id} is sent in two parts`);
    return Array(2).fill({ ...one, total: total / 2 });
  }
  return one;
}

function aboutTheCall() {
  const { pipeline, node, function: name, invocationId, timeLeftMs } = context();
  return `${pipeline}/${node}/${name}/${invocationId}/${timeLeftMs > 0}`;
}
