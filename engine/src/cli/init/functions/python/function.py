"""Adds the total to each order: one record in, none, one or many out."""

from riverhook_function import Failure, record


@record
def total(order):
    """None drops the order; an exception fails this order alone, and the pipeline's `on_error` says what becomes of it."""
    if order["quantity"] < 0:
        raise Failure("Order.BadQuantity", "`quantity` must not be negative")
    total = order["price"] * order["quantity"]
    return {"id": order["id"], "total": total} if total > 0 else None
