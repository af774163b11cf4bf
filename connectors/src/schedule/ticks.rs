//! When the ticks of a schedule are. Times are microseconds since 1970-01-01 UTC. Knows nothing of sources and clocks.
//!
//! A cron expression speaks of local time, which jumps. Two rules, those of Vixie's cron, make every expression do what
//! its author meant:
//!
//! - With fixed hours (`30 2 * * *`), each *local time* counts once. One that is skipped comes at the end of the gap, so
//!   that the nightly job is not left out; of one that is there twice, the first counts.
//! - With any hour (`*/15 * * * *`), *time that passes* counts: an hour that is there twice has its ticks twice, and for
//!   one that is skipped none are made up.
//!
//! The crate `croner` tells which local times match, and is asked about local times only: it has rules of its own for
//! zones, which leave out ticks of the second pass.

use std::time::Duration;

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;

const SECOND: i64 = 1_000_000;

/// The longest time from tick to tick with `every`.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Where the search for the newest ticks begins: this far back, then four times as far, and so on.
const FIRST_LOOK_BACK: i64 = 64 * SECOND;

/// When the ticks are.
#[derive(Clone, Debug)]
pub(super) enum Ticks {
    /// At the multiples of so many microseconds.
    Every(i64),
    /// When the local time matches.
    Cron(Box<CronTicks>),
}

/// An expression in its zone.
#[derive(Clone, Debug)]
pub(super) struct CronTicks {
    pattern: Cron,
    zone: Tz,
    /// Whether time that passes counts, not local time.
    any_hour: bool,
}

impl Ticks {
    /// A tick whenever so much time has passed, if that is not nothing or too much.
    pub(super) fn every(period: Duration) -> Option<Self> {
        let micros = i64::try_from(period.as_micros()).ok().filter(|micros| *micros > 0 && period <= LONGEST);
        micros.map(Self::Every)
    }

    /// The ticks of an expression, or what is wrong with it.
    pub(super) fn cron(expression: &str, zone: Tz) -> Result<Self, String> {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let hour = match fields.len() {
            5 => fields[1],
            6 => fields[2],
            count => {
                return Err(format!("a cron expression has five fields, or six with seconds; this one has {count}"));
            }
        };
        let any_hour = hour.starts_with('*');
        let pattern = expression.parse::<Cron>().map_err(|error| format!("this is no cron expression: {error}"))?;
        let ticks = Self::Cron(Box::new(CronTicks { pattern, zone, any_hour }));
        // A leap day on a given weekday takes up to 40 years to come; what is not found from here on is never.
        ticks.next(0).map(|_| ticks).ok_or_else(|| "there is no day that this expression names".to_owned())
    }

    /// The first tick at `from` or later.
    pub(super) fn next(&self, from: i64) -> Option<i64> {
        match self {
            Self::Every(period) => from.checked_add(period - 1).map(|last| last.div_euclid(*period) * period),
            Self::Cron(cron) => cron.next(from),
        }
    }

    /// The ticks from `from` to `until`, both included, in order.
    pub(super) fn between(&self, from: i64, until: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(self.next(from), |tick| self.next(tick + 1)).take_while(move |tick| *tick <= until)
    }

    /// The last ticks from `from` to `until`, `most` at most, in order. Takes time for about those, however many there
    /// are before them.
    pub(super) fn newest(&self, from: i64, until: i64, most: usize) -> Vec<i64> {
        if most == 0 {
            return Vec::new();
        }
        let mut look_back = FIRST_LOOK_BACK;
        loop {
            let begin = until.saturating_sub(look_back).max(from);
            let mut found: Vec<i64> = self.between(begin, until).collect();
            if found.len() >= most || begin == from {
                found.drain(..found.len().saturating_sub(most));
                return found;
            }
            look_back = look_back.saturating_mul(4);
        }
    }

    /// A time as it is shown to people: in the schedule's zone.
    pub(super) fn show(&self, tick: i64) -> String {
        let zone = match self {
            Self::Every(_) => Tz::UTC,
            Self::Cron(cron) => cron.zone,
        };
        let time = DateTime::from_timestamp_micros(tick).unwrap_or_default().with_timezone(&zone);
        time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    }
}

impl CronTicks {
    fn next(&self, from: i64) -> Option<i64> {
        // Expressions know whole seconds.
        let from = DateTime::from_timestamp(from.checked_add(SECOND - 1)?.div_euclid(SECOND), 0)?;
        let found = if self.any_hour {
            let here = self.first(self.local(from), from);
            let second_pass = self.second_pass(from).and_then(|begin| self.first(self.local(begin), begin));
            here.into_iter().chain(second_pass).min()
        } else {
            // What was skipped just before `from` comes at `from`: local time goes on from the second before it.
            let second = TimeDelta::seconds(1);
            self.first(self.local(from - second) + second, from)
        };
        found.map(|tick| tick.timestamp_micros())
    }

    fn local(&self, time: DateTime<Utc>) -> NaiveDateTime {
        time.with_timezone(&self.zone).naive_local()
    }

    /// The tick of the first matching local time from `local` on that is at `from` or later.
    fn first(&self, mut local: NaiveDateTime, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        loop {
            local = self.pattern.find_next_occurrence(&local.and_utc(), true).ok()?.naive_utc();
            if let Some(tick) = self.tick(local, from).filter(|tick| *tick >= from) {
                return Some(tick);
            }
            local += TimeDelta::seconds(1);
        }
    }

    /// When it is this local time; of two such times, the one that counts from `from` on.
    fn tick(&self, local: NaiveDateTime, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.zone.from_local_datetime(&local) {
            LocalResult::Single(time) => Some(time.to_utc()),
            LocalResult::Ambiguous(first, second) if self.any_hour && first < from => Some(second.to_utc()),
            LocalResult::Ambiguous(first, _) => Some(first.to_utc()),
            LocalResult::None if self.any_hour => None,
            LocalResult::None => {
                // Offsets are between -12 and +14 hours, and the longest gap was a day that Samoa left out.
                let (before, after) = (local.and_utc() - TimeDelta::hours(16), local.and_utc() + TimeDelta::hours(40));
                Some(first_second(before, after, |time| self.local(time) >= local))
            }
        }
    }

    /// When local time begins for the second time to be what it is at `from`, if `from` is in the first pass.
    fn second_pass(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.zone.from_local_datetime(&self.local(from)) {
            LocalResult::Ambiguous(first, second) if first == from => {
                let offset = |time: DateTime<Utc>| self.zone.offset_from_utc_datetime(&time.naive_utc()).fix();
                Some(first_second(from, second.to_utc(), |time| offset(time) != offset(from)))
            }
            _ => None,
        }
    }
}

/// The first second after `before` of which it is true, given that it is of `after` and of everything in between.
fn first_second(before: DateTime<Utc>, after: DateTime<Utc>, is: impl Fn(DateTime<Utc>) -> bool) -> DateTime<Utc> {
    let (mut before, mut after) = (before, after);
    while after - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if is(middle) { after = middle } else { before = middle }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(time: &str) -> i64 {
        DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros()
    }

    /// The ticks of an expression in a zone from a time on.
    #[track_caller]
    fn check(cron: &str, zone: &str, from: &str, expected: &[&str]) {
        let ticks = Ticks::cron(cron, zone.parse().unwrap()).unwrap();
        let found: Vec<String> =
            ticks.between(micros(from), i64::MAX).take(expected.len()).map(|tick| ticks.show(tick)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_everybody_writes() {
        check("0 3 * * *", "UTC", "2026-01-31T03:00:00.000001Z", &["2026-02-01T03:00:00Z", "2026-02-02T03:00:00Z"]);
        check("0 3 * * *", "UTC", "2026-01-31T03:00:00Z", &["2026-01-31T03:00:00Z"]);
        check(
            "*/20 8-9 * * mon",
            "UTC",
            "2026-01-31T00:00:00Z",
            &["2026-02-02T08:00:00Z", "2026-02-02T08:20:00Z", "2026-02-02T08:40:00Z", "2026-02-02T09:00:00Z"],
        );
        check("30 0 12 1 */6 *", "Asia/Tokyo", "2026-01-31T00:00:00Z", &["2026-07-01T12:00:30+09:00"]);
        check("0 0 13 * 5", "UTC", "2026-02-13T00:00:01Z", &["2026-02-20T00:00:00Z"]);
        check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("0 0 * * 7", "UTC", "2026-01-31T00:00:00Z", &["2026-02-01T00:00:00Z"]);
    }

    #[test]
    fn a_skipped_time_comes_once_when_the_gap_ends() {
        let berlin = "Europe/Berlin";
        check(
            "30 2 * * *",
            berlin,
            "2026-03-28T00:00:00Z",
            &["2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
        );
        check(
            "*/15 2,3 * * *",
            berlin,
            "2026-03-29T00:50:00Z",
            &["2026-03-29T03:00:00+02:00", "2026-03-29T03:15:00+02:00"],
        );
        // Looked for from the very end of the gap on.
        check("30 2 * * *", berlin, "2026-03-29T01:00:00Z", &["2026-03-29T03:00:00+02:00"]);
        check("30 2 * * *", berlin, "2026-03-29T01:00:01Z", &["2026-03-30T02:30:00+02:00"]);
        // Half an hour, at midnight, and a whole day.
        check("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", &["2026-10-04T02:30:00+11:00"]);
        check("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", &["2026-04-24T01:00:00+03:00"]);
        check("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", &["2011-12-31T00:00:00+14:00"]);
    }

    #[test]
    fn a_time_that_is_there_twice_comes_once() {
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        );
        check(
            "*/30 2 * * *",
            "Europe/Berlin",
            "2026-10-25T00:10:00Z",
            &["2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"],
        );
    }

    #[test]
    fn any_hour_is_time_that_passes() {
        check(
            "30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            &["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"],
        );
        check(
            "15 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:20:00Z",
            &["2026-10-25T02:15:00+01:00", "2026-10-25T03:15:00+01:00"],
        );
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:45:00Z",
            &[
                "2026-10-25T02:00:00+02:00",
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ],
        );
    }

    #[test]
    fn every_is_counted_from_1970() {
        let ticks = Ticks::every(Duration::from_secs(300)).unwrap();
        let at = |minutes: i64| minutes * 60 * SECOND;
        assert_eq!(ticks.between(at(1), at(15)).collect::<Vec<_>>(), [at(5), at(10), at(15)]);
        assert_eq!(ticks.next(at(10)), Some(at(10)));
        assert_eq!(ticks.next(-1), Some(0));
        assert!(Ticks::every(Duration::ZERO).is_none() && Ticks::every(Duration::from_secs(1 << 40)).is_none());
    }

    #[test]
    fn the_newest_are_the_last_of_all() {
        let zone = Tz::Europe__Berlin;
        for ticks in [Ticks::cron("*/7 * * * *", zone).unwrap(), Ticks::every(Duration::from_secs(1000)).unwrap()] {
            let (from, until) = (micros("2026-03-20T00:00:00Z"), micros("2026-03-30T00:00:00Z"));
            let all: Vec<i64> = ticks.between(from, until).collect();
            for most in [0, 1, 2, 100, all.len(), all.len() + 1] {
                assert_eq!(ticks.newest(from, until, most), all[all.len().saturating_sub(most)..]);
            }
            assert!(ticks.newest(until, until - 1, 5).is_empty());
        }
    }

    #[test]
    fn what_is_no_expression() {
        for (cron, text) in [
            ("0 3 * *", "this one has 4"),
            ("0 0 3 * * * *", "this one has 7"),
            ("61 3 * * *", "no cron expression"),
            ("0 3 * * someday", "no cron expression"),
            ("0 0 30 2 *", "no day"),
        ] {
            let error = Ticks::cron(cron, Tz::UTC).unwrap_err();
            assert!(error.contains(text), "{cron}: {error}");
        }
    }
}
