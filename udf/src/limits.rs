//! What a function may use. Each limit is enforced by the host, not asked of the function.

use std::time::Duration;

/// The limits of one function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most memory one copy may hold, in bytes. Default 64 MiB.
    pub memory: usize,
    /// The longest one call may take. Default 1 s.
    pub timeout: Duration,
    /// The most bytes one answer may have; also bounds its rows. Default 16 MiB.
    pub max_output: usize,
    /// The largest file with a function's code, in bytes. Default 20 MiB.
    pub max_module_size: usize,
    /// The longest that compiling the code may take. Default 30 s.
    pub compile_timeout: Duration,
    /// The longest log line, in bytes; what is longer is cut. Default 8 KiB.
    pub max_log_line: usize,
    /// Log lines a second of all copies together; more are dropped and counted. Default 100.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            timeout: Duration::from_secs(1),
            max_output: 16 << 20,
            max_module_size: 20 << 20,
            compile_timeout: Duration::from_secs(30),
            max_log_line: 8 << 10,
            log_lines_per_second: 100,
        }
    }
}

/// What a function may have of the machine beyond its batches. Nothing, unless granted.
///
/// Without a grant the interface is still there, since the tool chains of most languages import it anyway: the
/// clock stands still at 1970, and random numbers are the same in every copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// The time of day, and a clock to measure with.
    pub clock: bool,
    /// Random numbers fit for secrets.
    pub random: bool,
}
