//! Totals of orders: what a function over records can do, each by an order of its own. `orders.js` and `orders.py` beside
//! it do the same in their languages, and `records.rs` runs the same cases over all three.
//!
//! Build it, from the repository's root: `udf/sdk/rust/build.sh udf/tests/guests/orders udf/tests/guests/orders.wasm`

use riverhook_function::{Failure, config, context, counter, gauge, log};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize)]
struct Order {
    id: u64,
    price: f64,
    quantity: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Total {
    id: u64,
    total: f64,
    currency: Option<String>,
}

#[riverhook_function::record]
fn total(order: Order) -> Result<Vec<Total>, Failure> {
    counter("orders", 1);
    if order.quantity < 0 {
        return Err(Failure::new("Order.BadQuantity", "`quantity` must not be negative"));
    }
    if order.quantity == 0 {
        return Ok(Vec::new());
    }
    let total = order.price * order.quantity as f64;
    gauge("last_total", total);
    let currency = config("CURRENCY").unwrap_or_else(|| "EUR".to_owned());
    let one = Total { id: order.id, total, currency: Some(currency) };
    Ok(match order.id {
        // Which call it is.
        0 => vec![Total { currency: Some(about_the_call()), ..one }],
        // What does not fit the schema, which wants a currency, beside what does.
        13 => vec![one.clone(), Total { currency: None, ..one }],
        _ if order.quantity > 100 => {
            log::info(&format!("order {} is sent in two parts", order.id));
            vec![Total { total: total / 2.0, ..one }; 2]
        }
        _ => vec![one],
    })
}

fn about_the_call() -> String {
    let context = context();
    let in_time = context.time_left.as_millis() > 0;
    format!("{}/{}/{}/{}/{in_time}", context.pipeline, context.node, context.function, context.invocation_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_price_times_quantity() {
        let answered = riverhook_function::call(total, r#"{"id": 1, "price": 2.5, "quantity": 4}"#);
        assert_eq!(answered, Ok(vec![r#"{"id":1,"total":10.0,"currency":"EUR"}"#.to_owned()]));
        assert_eq!(total(Order { id: 1, price: 2.5, quantity: 0 }), Ok(vec![]));
    }
}
