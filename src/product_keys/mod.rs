//! product_keys

pub mod routes;
