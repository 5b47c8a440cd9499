//! Started timers as they are: where each run stands, and the plan it was started with.
//!
//! Promises that whoever shows a person shows the same state, derived from the run and never stored. It reads; starting,
//! pausing and stopping is `timer`'s.

pub mod engine;
pub mod plan;

pub use plan::Plan;
