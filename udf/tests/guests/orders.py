"""Totals of orders: the same as `orders/src/lib.rs`, in Python.

The component is too large to be kept; `records.rs` builds it where `riverhook-function` is installed. By hand, from this
folder: `riverhook-function build orders.py -o orders_py.wasm`
"""

from riverhook_function import Failure, config, context, counter, gauge, log, record


@record
def total(order):
    counter("orders")
    if order["quantity"] < 0:
        raise Failure("Order.BadQuantity", "`quantity` must not be negative")
    if order["quantity"] == 0:
        return None
    total = order["price"] * order["quantity"]
    gauge("last_total", total)
    currency = config("CURRENCY")
    one = {"id": order["id"], "total": total, "currency": "EUR" if currency is None else currency}
    if order["id"] == 0:  # Which call it is.
        return {**one, "currency": about_the_call()}
    if order["id"] == 13:  # What does not fit the schema, which wants a currency, beside what does.
        return [one, {**one, "currency": None}]
    if order["quantity"] > 100:
        log.info(f"order {order['id']} is sent in two parts")
        return [{**one, "total": total / 2}] * 2
    return one


def about_the_call():
    call = context()
    in_time = "true" if call.time_left > 0 else "false"
    return f"{call.pipeline}/{call.node}/{call.function}/{call.invocation_id}/{in_time}"
