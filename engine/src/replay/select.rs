//! Which letters are wanted.

use super::letter::Letter;

/// What a letter must be to run again. An empty list admits all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The nodes that failed.
    pub nodes: Vec<String>,
    /// What the failures are called.
    pub errors: Vec<String>,
    /// Where they were.
    pub stages: Vec<String>,
    /// The earliest time: microseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// The time before which it must be.
    pub until: Option<i64>,
    /// Whether letters run that have run before.
    pub again: bool,
}

impl Selection {
    /// Whether this letter is wanted.
    pub fn admits(&self, letter: &Letter) -> bool {
        let among = |list: &[String], text: &String| list.is_empty() || list.contains(text);
        among(&self.nodes, &letter.node)
            && among(&self.errors, &letter.code)
            && among(&self.stages, &letter.stage)
            && self.since.is_none_or(|since| letter.time >= since)
            && self.until.is_none_or(|until| letter.time < until)
    }
}
