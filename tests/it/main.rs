//! Tests through the door: a real server, a real database, real sockets, one binary.
//!
//! A file is named after the feature that it tests. Nothing here sleeps: `call` waits for the reply, `expect` for the
//! event, `expect_silence` proves absence by a round trip, and time moves with `app.clock.advance`. The whole suite runs
//! on SQLite, and on PostgreSQL with `SOLGIK_TEST_DATABASE=postgres`; what is measured in time is no test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "a test that fails shows what it printed")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside of a test binary")]

mod support;

mod accounts;
mod actors;
mod admin;
mod autobahn;
mod broker_contract;
mod cli_keys;
mod cli_user;
mod closes;
mod cluster;
mod cluster_faults;
mod crash;
mod documents;
mod foundation;
mod frames;
mod friends;
mod keywords;
mod loadtest;
mod once;
mod operation;
mod outlets;
mod product_keys;
mod promises;
mod races;
mod random;
mod rooms;
mod seats;
mod security;
mod socket;
mod study;
mod tidy;
mod time_crash;
mod time_oracle;
mod time_random;
mod timer;
mod timesetting;
mod transcripts;
mod ws_check;
