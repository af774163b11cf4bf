//! Draws rows as a table for a person: aligned, and nothing in a cell can move the cursor or colour the terminal.

use std::fmt::Write as _;

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// The most characters a cell shows.
const CELL: usize = 60;

/// A table with its name above, and below how many rows it leaves out.
pub(super) fn draw(name: &str, batches: &[RecordBatch], hidden: usize) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if let Some(first) = batches.first() {
        table.set_header(first.schema().fields().iter().map(|field| cell(field.name())).collect::<Vec<_>>());
        batches.iter().for_each(|batch| add_rows(&mut table, batch));
        for (index, field) in first.schema().fields().iter().enumerate() {
            if let Some(column) = table.column_mut(index).filter(|_| field.data_type().is_numeric()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text = format!("{name}\n{table}\n");
    if hidden > 0 {
        let rows = if hidden == 1 { "row" } else { "rows" };
        writeln!(text, "… and {hidden} more {rows}").expect("a string takes everything");
    }
    text
}

fn add_rows(table: &mut Table, batch: &RecordBatch) {
    let options = FormatOptions::new().with_display_error(true).with_types_info(false);
    let columns: Vec<_> = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).ok()).collect();
    for row in 0..batch.num_rows() {
        let text = |column: &Option<ArrayFormatter<'_>>| match column {
            Some(column) => cell(&column.value(row).to_string()),
            None => Cell::new("?"),
        };
        table.add_row(columns.iter().map(text).collect::<Vec<_>>());
    }
}

/// A cell's text: control characters escaped, cut where it gets long.
fn cell(text: &str) -> Cell {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == CELL {
            shown.push('…');
            break;
        }
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cell::new(shown)
}
