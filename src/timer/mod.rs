//! timer

pub mod routes;
