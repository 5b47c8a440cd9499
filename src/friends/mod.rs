//! friends

pub mod routes;
