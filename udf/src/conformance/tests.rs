//! The suite finds what it says it finds.
