//! Requests as an OpenTelemetry collector wants them: in builds with the feature `otel`.
//!
//! Promises that nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, and that a collector which does
//! not answer costs a bounded queue and nobody's time. It speaks plain HTTP, to a collector beside the service: TLS is that
//! one's business. Its other settings are the specification's own: `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`,
//! `OTEL_RESOURCE_ATTRIBUTES`. A span has the route, the method, the status and the request's id; no user and no path.

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Sends what is left when it goes.
#[derive(Debug)]
pub struct Sender(SdkTracerProvider);

impl Drop for Sender {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// Hands spans to whoever sends them, if a collector is named.
pub(super) fn layer<S>() -> anyhow::Result<Option<(impl Layer<S>, Sender)>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if std::env::var_os(ENDPOINT).is_none_or(|endpoint| endpoint.is_empty()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    // The service's own name holds where the environment has none.
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder().build(),
        None => Resource::builder().with_service_name("solgik").build(),
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let tracer = provider.tracer("solgik");
    Ok(Some((tracing_opentelemetry::layer().with_tracer(tracer), Sender(provider))))
}
