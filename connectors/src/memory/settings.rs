//! The keys of a `memory` node.

use riverhook_config::settings;

settings! {
    /// Records that a test in the same process pushed into a store. For tests of pipelines.
    pub struct MemorySourceSettings {
        /// The store's name; the node's name unless set.
        pub name: Option<String>,
        /// Into how many partitions the records are divided.
        pub partitions: u32 = 1,
    }

    /// Rows kept in a store that a test in the same process looks at. For tests of pipelines.
    pub struct MemorySinkSettings {
        /// The store's name; the node's name unless set.
        pub name: Option<String>,
    }
}
