//! The keys of a `schedule` source.

use std::time::Duration;

use chrono_tz::Tz;
use riverhook_config::{Diagnostic, Node, Spanned, choices, settings};

use super::ticks::Ticks;

settings! {
    /// The clock: one record a tick, in the shape of a scheduled event, with the columns `version`, `id`,
    /// `detail-type`, `source`, `account`, `time` (when the tick was due), `region`, `resources` (the source's name) and
    /// `detail`. The same tick has the same `id`, also when it comes again after a crash.
    ///
    /// `riverhook validate --connect` prints the next three ticks.
    pub struct ScheduleSettings {
        /// How long from one tick to the next. Ticks are counted from 1970-01-01 00:00 UTC: those of `15m` are at :00,
        /// :15, :30 and :45, whenever the pipeline was started. Either this or `cron`.
        pub every: Option<Spanned<Duration>>,
        /// A cron expression in quotes: minute, hour, day of the month, month, day of the week (0 or 7 is Sunday), such as
        /// `"0 3 * * *"` for every night at three; with a sixth field in front, seconds. With both days given, either
        /// one is enough.
        pub cron: Option<Spanned<String>>,
        /// The time zone of `cron`, such as `Europe/Berlin`; UTC unless set. Where clocks are set forward, a time that is
        /// skipped comes when the gap ends; where they are set back, a time that is there twice comes the first time. An
        /// expression with `*` for the hour follows the time that passes instead: nothing for what is skipped, and twice
        /// what is there twice.
        pub zone: Option<Spanned<String>>,
        /// What comes of ticks that were due while the pipeline was down, or more than a minute ago because it was
        /// busy, the machine slept or its clock was set forward.
        pub missed: Missed = Missed::Once,
        /// When the first tick of all comes.
        pub start: FirstTick = FirstTick::Next,
    }
}

choices! {
    /// What comes of missed ticks.
    pub enum Missed {
        /// The last one, for all of them.
        Once = "once",
        /// Each of them, up to the last 10,000.
        All = "all",
        /// Nothing.
        None = "none",
    }

    /// When the first tick of a new pipeline comes.
    pub enum FirstTick {
        /// When the next one is due.
        Next = "next",
        /// At once, and then when the next one is due.
        Now = "now",
    }
}

impl ScheduleSettings {
    /// When the ticks are, or everything that is wrong.
    pub(super) fn ticks(&self, node: &Node) -> Result<Ticks, Vec<Diagnostic>> {
        match (&self.every, &self.cron) {
            (Some(every), None) => self.every(every),
            (None, Some(cron)) => self.cron(cron),
            _ => {
                let wrong = node.error("this source does not say when, or says it twice").expected("`every` or `cron`");
                Err(vec![wrong.help("write for example  every: 5m  or  cron: \"0 3 * * *\"")])
            }
        }
    }

    fn every(&self, every: &Spanned<Duration>) -> Result<Ticks, Vec<Diagnostic>> {
        if let Some(zone) = &self.zone {
            let wrong = zone.error("`every` counts time that passes, which is the same in every zone");
            return Err(vec![wrong.help("leave `zone` out, or say when in that zone with `cron`")]);
        }
        let wrong = || every.error("the time from tick to tick is above 0 and at most 366d");
        Ticks::every(every.value).ok_or_else(|| vec![wrong()])
    }

    fn cron(&self, cron: &Spanned<String>) -> Result<Ticks, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let zone = self.zone.as_ref().map_or(Some(Tz::UTC), |zone| zone.parse().ok());
        if let Some(zone) = self.zone.as_ref().filter(|_| zone.is_none()) {
            problems.push(zone.error("this is no time zone").expected("a name such as Europe/Berlin"));
        }
        let ticks = Ticks::cron(cron, zone.unwrap_or(Tz::UTC)).map_err(|wrong| {
            let wrong = cron.error(wrong).expected("minute, hour, day of the month, month, day of the week");
            problems.push(wrong.help("\"0 3 * * *\" is every night at three, \"*/5 * * * *\" every five minutes"));
        });
        ticks.ok().filter(|_| problems.is_empty()).ok_or(problems)
    }
}
