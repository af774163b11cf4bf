//! What an answer means, and when to try again.

use std::time::Duration;

use chrono::DateTime;
use reqwest::StatusCode;
use riverhook_config::DurationRange;

/// What `Retry-After` can make us wait at most.
const LONGEST: Duration = Duration::from_secs(300);

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The rows are durable.
    Durable,
    /// Not now.
    Again,
    /// Smaller requests may tell which row it is about.
    Split,
    /// Never.
    Final,
}

pub(super) fn verdict(status: StatusCode) -> Verdict {
    match status {
        status if status.is_success() => Verdict::Durable,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Verdict::Again,
        status if status.is_server_error() => Verdict::Again,
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY => Verdict::Split,
        _ => Verdict::Final,
    }
}

/// How long to wait before the next try: twice as long each time, less up to half by `chance` (0 to 1), so that many
/// senders do not come back at once.
pub(super) fn pause(failed: u32, backoff: DurationRange, chance: f64) -> Duration {
    let doubled = backoff.min.saturating_mul(1 << failed.saturating_sub(1).min(30));
    doubled.min(backoff.max).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

/// What a `Retry-After` asks for, in seconds or as a date.
pub(super) fn retry_after(value: &str, now_micros: i64) -> Option<Duration> {
    let asked = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = DateTime::parse_from_rfc2822(value.trim()).ok()?;
            Duration::from_micros(u64::try_from(date.timestamp_micros() - now_micros).unwrap_or(0))
        }
    };
    Some(asked.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let backoff = DurationRange { min: Duration::from_millis(100), max: Duration::from_secs(5) };
        let pauses = [1, 2, 3, 7, 100].map(|failed| pause(failed, backoff, 0.0).as_millis());
        assert_eq!(pauses, [100, 200, 400, 5000, 5000]);
        assert_eq!(pause(2, backoff, 1.0).as_millis(), 100);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now = 1_445_412_420_000_000; // 2015-10-21T07:27:00Z
        assert_eq!(retry_after("3", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:26:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("99999999", now), Some(LONGEST));
        assert_eq!(retry_after("soon", now), None);
    }
}
