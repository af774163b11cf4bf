//! The `.slt` files of `slt/`: what SELECTs give, and that it is what batch DataFusion gives for the same rows.

use std::{collections::BTreeMap, fmt, path::Path, sync::Arc, thread};

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use datafusion::{datasource::MemTable, prelude::SessionContext};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use super::{
    Planner,
    tests::{NoCalls, batch, schema, tables},
};

/// Our operators beside DataFusion's, over the table `clicks` (also called `views`) of the unit tests.
struct BesideBatch(Planner);

#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl DB for BesideBatch {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        let query = self.0.plan(sql, &tables()).map_err(|error| Failure(error.message))?;
        let (mut out, mut failed) = (Vec::new(), Vec::new());
        let bound = query.branches.iter().map(|branch| branch.bind(&schema()).expect("the schema was planned with"));
        for branch in bound {
            let ran = branch.run(&batch(), &NoCalls).map_err(|error| Failure(error.to_string()))?;
            out.extend(ran.out);
            failed.extend(ran.failed);
        }
        if let Some(failed) = failed.first() {
            return Err(Failure(format!("row {}: {}", failed.row, failed.message)));
        }
        let ours = rows(out.iter().map(|batch| &batch.records));
        let theirs = self.oracle(sql)?;
        let sorted = |rows: &[Vec<String>]| {
            let mut rows = rows.to_vec();
            rows.sort();
            rows
        };
        if sorted(&ours) != sorted(&theirs) {
            return Err(Failure(format!("batch DataFusion gives other rows: {theirs:?}, ours: {ours:?}")));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; query.schema.fields().len()], rows: ours })
    }

    fn shutdown(&mut self) {}
}

impl BesideBatch {
    fn oracle(&self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        let failed = |error: datafusion::common::DataFusionError| Failure(format!("batch DataFusion: {error}"));
        let context = SessionContext::new_with_state(self.0.state.as_ref().clone());
        for table in tables().keys() {
            let table_of_rows = MemTable::try_new(schema(), vec![vec![batch().records]]).map_err(failed)?;
            // All contexts of one state share their tables.
            context.deregister_table(table).map_err(failed)?;
            context.register_table(table, Arc::new(table_of_rows)).map_err(failed)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
        let runtime = runtime.map_err(|error| Failure(error.to_string()))?;
        let query = async { context.sql(sql).await?.collect().await };
        // On a thread of its own: the runner of the files blocks on a future on this one.
        let batches = thread::scope(|scope| scope.spawn(|| runtime.block_on(query)).join());
        Ok(rows(batches.expect("the query does not panic").map_err(failed)?.iter()))
    }
}

fn rows<'b>(batches: impl Iterator<Item = &'b RecordBatch>) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).expect("every type can be shown"))
            .collect();
        rows.extend(
            (0..batch.num_rows())
                .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>()),
        );
    }
    rows
}

#[test]
fn every_file_gives_what_it_says_and_what_a_batch_gives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/slt");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let outcomes: BTreeMap<_, _> = files
        .map(|file| {
            let mut runner = Runner::new(|| async { Ok(BesideBatch(Planner::new().unwrap())) });
            (file.clone(), runner.run_file(&file).map_err(|error| error.to_string()))
        })
        .collect();
    assert!(!outcomes.is_empty());
    for (file, outcome) in outcomes {
        outcome.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
