//! The settings of Avro.

use std::path::PathBuf;

use riverhook_config::settings;

settings! {
    /// Avro, one datum a record.
    pub struct AvroSettings {
        /// The file with the Avro schema (`.avsc`); relative to the pipeline file.
        pub schema_file: PathBuf,
    }
}
