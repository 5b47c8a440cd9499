//! accounts

pub mod routes;
