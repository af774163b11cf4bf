//! The keys of a `stdout` sink.

use std::time::Duration;

use riverhook_config::{choices, settings};

choices! {
    /// How rows are shown.
    #[derive(Default)]
    pub enum Style {
        /// As tables, for people. Long cells and long tables are cut, and say so.
        #[default]
        Table = "table",
        /// One JSON object a line, all of them and whole, for programs.
        Json = "json",
    }
}

settings! {
    /// Rows shown on the terminal.
    pub struct StdoutSettings {
        /// How rows are shown.
        pub style: Style = Style::Table,
        /// Rows a table shows at most; of the others only the number is told.
        pub rows: u32 = 20,
        /// How long rows are gathered for a table.
        pub every: Duration = Duration::from_millis(200),
    }
}
