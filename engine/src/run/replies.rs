//! Answers to whoever sent the records of a source: the rows that one node made of them, told as they are made.
//!
//! A task runs to completion, so that when a batch has been through, every row of its records has been told.

use std::{collections::BTreeSet, sync::Arc};

use riverhook_connectors::{
    batch::{Batch, Input, RowFailure, Rows},
    format::{Encoded, Encoder},
    reply::{Replies, ReplyError},
};

use super::chain::row_encoder;
use crate::{
    error::Error,
    plan::{Plan, SourceNode},
};

/// One task's answers.
pub(super) struct Answers {
    replies: Replies,
    /// The node whose rows are the answers.
    step: usize,
    /// The nodes on the way to it, itself included: what fails there is an answer too.
    leading: BTreeSet<Arc<str>>,
    encoder: Box<dyn Encoder>,
    encoded: Encoded,
}

impl Answers {
    /// For a source whose senders wait for a node.
    pub(super) fn of(plan: &Plan, source: &SourceNode) -> Result<Option<Self>, Error> {
        let Some((step, replies)) = source.reply.zip(source.source.replies()) else { return Ok(None) };
        let mut leading = BTreeSet::from([Arc::clone(&plan.steps[step].name)]);
        // Each step is behind what it reads.
        for node in plan.steps[..step].iter().rev() {
            let leads =
                |later: &crate::plan::StepNode| leading.contains(&later.name) && later.inputs.contains(&node.name);
            if plan.steps.iter().any(leads) {
                leading.insert(Arc::clone(&node.name));
            }
        }
        leading.insert(Arc::clone(&source.name));
        let encoder = row_encoder(&plan.steps[step].schema)?;
        Ok(Some(Self { replies, step, leading, encoder, encoded: Encoded::default() }))
    }

    /// A step made these rows.
    pub(super) fn rows(&mut self, step: usize, made: &[Batch]) {
        if step != self.step {
            return;
        }
        for batch in made {
            self.encoded.clear();
            self.encoder.encode(&batch.records, &mut self.encoded);
            for row in 0..self.encoded.len() {
                let text = self.encoded.row(row).to_vec();
                match record_of(&batch.rows, row, &batch.input) {
                    Some(record) => self.replies.reply(batch.input.positions[record], Ok(vec![text])),
                    None => self.unknown(&batch.input),
                }
            }
        }
    }

    /// A node failed on these rows.
    pub(super) fn failed(&self, node: &Arc<str>, input: &Input, rows: &Rows, failures: &[RowFailure]) {
        if !self.leading.contains(node) {
            return;
        }
        for failure in failures {
            match record_of(rows, failure.row as usize, input) {
                Some(record) => {
                    let error = ReplyError::new(failure.code, failure.message.clone());
                    self.replies.reply(input.positions[record], Err(error));
                }
                None => self.unknown(input),
            }
        }
    }

    /// These records have been through.
    pub(super) fn done(&self, input: &Input) {
        self.replies.done(&input.positions);
    }

    /// A function gave rows for several records at once, and did not say which are whose.
    fn unknown(&self, input: &Input) {
        let message = "the function's answer does not say which record each row is of: answer one row for each record, \
                       or give it one record a call (batch: { rows: 1 })";
        for position in &input.positions {
            self.replies.reply(*position, Err(ReplyError::new("reply.unknown_record", message)));
        }
    }
}

fn record_of(rows: &Rows, row: usize, input: &Input) -> Option<usize> {
    // Of one record everything is.
    let record = rows.record(row).or((input.len() == 1).then_some(0))?;
    (record < input.len()).then_some(record)
}
