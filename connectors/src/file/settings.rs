//! The keys of a `file` node.

use std::time::Duration;

use riverhook_config::{ByteSize, OneOrMany, Spanned, choices, settings};

choices! {
    /// What to know of a file beside its records.
    pub enum FileMetadata {
        /// The file's name as found, in the column `path`.
        Path = "path",
        /// The file's size in bytes, in the column `size`.
        Size = "size",
        /// When the file was changed last, in the column `modified`.
        Modified = "modified",
        /// The number of the line the record begins at, from 1, in the column `line`. For Parquet the row's number.
        Line = "line",
    }
}

choices! {
    /// What to do when a file that was read is now shorter, or another one, under the same name.
    #[derive(Default)]
    pub enum Replaced {
        /// Say so, and read it from its beginning.
        #[default]
        Restart = "restart",
        /// Stop.
        Fail = "fail",
    }
}

choices! {
    /// How lines are packed.
    #[derive(Default)]
    pub enum Compression {
        /// Not at all.
        #[default]
        None = "none",
        /// As gzip; `.gz` is added to the name.
        Gzip = "gzip",
        /// As Zstandard; `.zst` is added to the name.
        Zstd = "zstd",
    }
}

settings! {
    /// Files, read in the order of their names. What ends in `.gz` or `.zst` is unpacked.
    pub struct FileSourceSettings {
        /// Which files: a path or a pattern with `*`, `?`, `[a-z]` or `**`, or several, relative to the pipeline file.
        pub path: Spanned<OneOrMany<String>>,
        /// Columns about the file a record is from.
        pub metadata: Vec<FileMetadata> = Vec::new(),
        /// Whether to go on when files grow, and to read files that come later. Without it the source ends. A file that
        /// has been gone for five minutes is forgotten: another one under its name is then read from its beginning.
        pub follow: bool = false,
        /// How often to look for new files and new lines, with `follow`.
        pub poll: Duration = Duration::from_secs(1),
        /// What to do with a file that is shorter than what was read of it, or another one under its name.
        pub replaced: Replaced = Replaced::Restart,
        /// The largest record. A larger one fails, and only its beginning is kept.
        pub max_record: ByteSize = ByteSize::mib(16),
    }

    /// When a file is complete: when the first of these is reached.
    pub struct Roll {
        /// Bytes in the file.
        pub size: ByteSize = ByteSize::mib(128),
        /// Time since its first row. Until then a row is not durable, and after a crash it is read again.
        pub time: Duration = Duration::from_secs(60),
        /// Rows in the file.
        pub rows: Option<u64>,
    }

    /// Files that appear whole: each is hidden while it is written, then renamed. None is ever written over.
    pub struct FileSinkSettings {
        /// The folder, relative to the pipeline file; made if it is not there. `{column}` is a row's value,
        /// `{column:%Y-%m-%d}` a time of the row, `{now:%Y-%m-%d}` the present. If it ends in a name with a dot, such
        /// as `out/views.parquet`, the files' names begin with that name.
        pub path: Spanned<String>,
        /// When a file is complete and the next begins.
        pub roll: Roll,
        /// How lines are packed. Parquet packs by itself.
        pub compression: Compression = Compression::None,
        /// Files that a task has open at once; beyond, the one not written to for longest is completed.
        pub open_files: u32 = 64,
    }
}
