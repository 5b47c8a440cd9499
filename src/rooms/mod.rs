//! rooms

pub mod routes;
