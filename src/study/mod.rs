//! What was studied: the ledger, and what it comes to.
//!
//! Promises that every point comes from a line of the ledger, and that lines are written once and never changed.

pub mod ledger;
