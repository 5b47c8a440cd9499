//! How many requests are answered, and how long that takes.
//!
//! Promises that a label is the pattern of a route, never a path: paths are without number and may hold a secret.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use crate::telemetry::Metrics;

/// Around every route, and around what finds none.
pub async fn layer(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = word(request.method());
    let began = Instant::now();
    let name = route.as_ref().map_or("none", MatchedPath::as_str);
    let response = run(method, name, request, next).await;
    metrics.answered(method, name, response.status().as_u16(), began.elapsed());
    response
}

#[cfg(not(feature = "otel"))]
async fn run(_: &str, _: &str, request: Request, next: Next) -> Response {
    next.run(request).await
}

/// With a span around it, in the names of OpenTelemetry.
#[cfg(feature = "otel")]
async fn run(method: &str, route: &str, request: Request, next: Next) -> Response {
    use tracing::{Instrument, field::Empty};

    let id = request.extensions().get::<super::Context>().map_or("", |context| &context.request_id);
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}

/// Callers may invent methods; labels must not grow with them.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
