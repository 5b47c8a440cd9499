//! Log lines for people or for programs, and figures for the operator.
//!
//! Promises one subscriber a process, set up by `main` alone. Secrets don't reach it: types that hold one don't print.

pub mod metrics;
#[cfg(feature = "otel")]
pub mod otel;
pub mod process;

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{Log, LogFormat};

pub use metrics::Metrics;

/// What has to last as long as there is something to tell.
#[derive(Debug, Default)]
pub struct Telling {
    #[cfg(feature = "otel")]
    _sender: Option<otel::Sender>,
}

/// Begins to log to standard error. A second call in one process changes nothing.
pub fn init(config: &Log) -> anyhow::Result<Telling> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    #[cfg(feature = "otel")]
    let (registry, telling) = {
        let (layer, sender) = otel::layer()?.unzip();
        (registry.with(layer), Telling { _sender: sender })
    };
    #[cfg(not(feature = "otel"))]
    let telling = Telling::default();
    let writer = std::io::stderr;
    let set = match config.format {
        LogFormat::Pretty => {
            registry.with(fmt::layer().compact().with_ansi(writer().is_terminal()).with_writer(writer)).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().flatten_event(true).with_writer(writer)).try_init(),
    };
    if set.is_err() {
        tracing::debug!("logging was set up before");
    }
    Ok(telling)
}
