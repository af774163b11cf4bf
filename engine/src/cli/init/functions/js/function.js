// Adds the total to each order: one record in, none, one or many out.

import { Failure } from "riverhook-function";

// null drops the order; an error fails this order alone, and the pipeline's `on_error` says what becomes of it.
export default function total({ id, price, quantity }) {
  if (quantity < 0) throw new Failure("Order.BadQuantity", "`quantity` must not be negative");
  const total = price * quantity;
  return total > 0 ? { id, total } : null;
}
