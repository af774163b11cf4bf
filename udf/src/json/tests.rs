//! Events and answers, with an endpoint in memory.
