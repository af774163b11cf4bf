//! The suite finds what it is there to find: each fault below, put into a connector that is right, is reported.
