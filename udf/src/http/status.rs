//! What a status says about a call.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use reqwest::StatusCode;

use crate::contract::{CallError, CallErrorKind};

/// What `Retry-After` can make us wait at most.
const LONGEST: Duration = Duration::from_secs(300);

/// The failure that a status stands for, or none if the body is the answer. `retry_after` is what the server asked for.
///
/// A server that has no room, or that a proxy cannot reach, was not run: its batch waits. One that failed did run, so
/// that the batch may be at fault.
pub(super) fn failure(status: StatusCode, retry_after: Option<Duration>, server: &str) -> Option<CallError> {
    if status.is_success() {
        return None;
    }
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => match retry_after {
            Some(retry_after) => CallErrorKind::Throttled { retry_after },
            None => CallErrorKind::Unavailable,
        },
        StatusCode::REQUEST_TIMEOUT => CallErrorKind::Timeout,
        _ => CallErrorKind::Failed(format!("Http.{}", status.as_u16())),
    };
    let hint = match status {
        status if status.is_redirection() => ": redirects are not followed, so name the URL where it leads",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": see its token or signature",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ": is the URL right? It must take POST",
        _ => "",
    };
    let error = CallError::new(kind, format!("{server} answered {status}{hint}"));
    Some(CallError { retryable: error.retryable || status.is_server_error(), ..error })
}

/// What a `Retry-After` asks for, in seconds or as a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let asked = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = SystemTime::from(DateTime::parse_from_rfc2822(value.trim()).ok()?);
            date.duration_since(now).unwrap_or_default()
        }
    };
    Some(asked.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, retry_after: Option<Duration>) -> Option<(String, bool, bool)> {
        let error = failure(StatusCode::from_u16(status).unwrap(), retry_after, "http://host:80")?;
        assert_eq!(error.retry_after(), retry_after.filter(|_| error.is_unavailable()));
        Some((error.code().to_owned(), error.retryable, error.is_unavailable()))
    }

    #[test]
    fn what_statuses_mean() {
        assert_eq!([200, 202, 204].map(|status| kind(status, None)), [None, None, None]);
        let asked = Some(Duration::from_secs(7));
        for status in [429, 502, 503, 504] {
            assert_eq!(kind(status, None), Some(("Function.Unavailable".into(), true, true)), "{status}");
            assert_eq!(kind(status, asked), Some(("Function.Unavailable".into(), true, true)), "{status}");
        }
        assert_eq!(kind(408, asked), Some(("Sandbox.Timedout".into(), true, false)));
        assert_eq!(kind(500, asked), Some(("Http.500".into(), true, false)));
        for status in [302, 400, 401, 404, 413, 422] {
            assert_eq!(kind(status, asked), Some((format!("Http.{status}"), false, false)));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_420); // 2015-10-21T07:27:00Z
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999", now), Some(LONGEST));
        assert_eq!(retry_after("soon", now), None);
    }
}
