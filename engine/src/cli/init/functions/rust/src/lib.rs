//! Adds the total to each order: one record in, none, one or many out.

use riverhook_function::Failure;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
struct Order {
    id: u64,
    price: f64,
    quantity: i64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Total {
    id: u64,
    total: f64,
}

/// `Ok(None)` drops the order; an error fails this order alone, and the pipeline's `on_error` says what becomes of it.
#[riverhook_function::record]
fn total(order: Order) -> Result<Option<Total>, Failure> {
    if order.quantity < 0 {
        return Err(Failure::new("Order.BadQuantity", "`quantity` must not be negative"));
    }
    let total = order.price * order.quantity as f64;
    Ok((total > 0.0).then_some(Total { id: order.id, total }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_gets_its_total() {
        let order = Order { id: 1, price: 2.5, quantity: 4 };
        assert_eq!(total(order), Ok(Some(Total { id: 1, total: 10.0 })));
    }

    #[test]
    fn an_empty_order_is_dropped_and_a_negative_one_fails() {
        assert_eq!(riverhook_function::call(total, r#"{"id": 1, "price": 2.5, "quantity": 0}"#), Ok(vec![]));
        let error = total(Order { id: 1, price: 2.5, quantity: -1 }).unwrap_err();
        assert_eq!(error.code, "Order.BadQuantity");
    }
}
