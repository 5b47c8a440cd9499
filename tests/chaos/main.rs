//! Chaos: the real service with everything that it stands on, while its parts are killed, stopped and cut off.
//!
//! Some hundred people study, enter, exit, drop, resume and roam between instances. Now and then everything is healed,
//! and then everybody must know what the database says, have heard each event once, and have lost no second. A run is
//! bounded and repeats its schedule by its seed; what the machine makes of it differs. `.ci/chaos SECONDS [SEED]` is a
//! long one; the test command has a short one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(clippy::print_stdout, reason = "a run says how it goes")]
#![allow(unreachable_pub, reason = "nothing is reachable from outside of a test binary")]

mod crowd;
mod faults;
mod journal;
mod measures;
mod run;
mod service;
mod stores;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with tests/it, which needs all of it")]
mod support;
mod truth;

use std::{
    env,
    time::{Duration, SystemTime},
};

use run::{Plan, Run};
use stores::Postgres;

/// How long a run goes on, in seconds.
const SECONDS: &str = "SOLGIK_CHAOS_SECS";

/// Milliseconds since the Unix epoch.
fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Lets time pass: that is what a schedule of faults is made of.
async fn pass(time: Duration) {
    let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos() {
    let Some(programs) = Postgres::programs() else {
        println!("no PostgreSQL, no chaos: .ci/test brings it");
        return;
    };
    let seconds = env::var(SECONDS).ok().map(|seconds| seconds.parse().expect("a number of seconds"));
    let plan = seconds.map_or(Plan::SHORT, |seconds| Plan::long(Duration::from_secs(seconds)));
    let mut run = Run::start(programs, plan, support::seed()).await;
    run.go().await;
    run.finish().await;
}
