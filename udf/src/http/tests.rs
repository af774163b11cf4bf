//! What needs a look-up of names that is not the system's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{HttpHandler, HttpSettings, Lookup, Target};
use crate::contract::{CallErrorKind, Invocation};
use crate::json::handler::Handler as _;

fn handler(lookup: Lookup, settings: HttpSettings) -> HttpHandler {
    HttpHandler::new(Arc::new(Target::new("f", settings, 1_000, lookup).unwrap()))
}

fn finding(addresses: &'static [&'static str]) -> Lookup {
    Arc::new(move |_| {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect();
        Box::pin(async move { Ok(found) })
    })
}

#[test]
fn a_name_does_not_lead_to_where_credentials_are() {
    let mut handler = handler(finding(&["169.254.169.254", "fd00:ec2::254"]), HttpSettings::new("http://innocent/"));
    let error = handler.invoke(b"[]", &Invocation::default()).result.unwrap_err();
    assert_eq!((&error.kind, error.retryable), (&CallErrorKind::InvalidEntrypoint, false));
    assert!(error.message.contains("link-local"), "{}", error.message);
}

#[test]
fn a_name_without_an_address_is_unavailable() {
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    let error = handler(lookup, HttpSettings::new("http://innocent/")).invoke(b"[]", &Invocation::default());
    assert_eq!(error.result.unwrap_err().kind, CallErrorKind::Unavailable);
}

#[test]
fn a_look_up_that_hangs_ends_in_time_and_holds_up_nobody() {
    let lookup: Lookup = Arc::new(|_| {
        Box::pin(async {
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(20))).await.unwrap();
            Ok(Vec::new())
        })
    });
    let settings = HttpSettings { timeout: Duration::from_millis(400), ..HttpSettings::new("http://innocent/") };
    let begun = Instant::now();
    let mut handler = handler(lookup, settings);
    let error = handler.invoke(b"[]", &Invocation::default()).result.unwrap_err();
    drop(handler);
    assert_eq!(error.kind, CallErrorKind::Unavailable);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
