//! Logging: one line per thing an operator should know, on stderr; and the audit log, there or in a
//! file of its own.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::audit;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the audit log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditTo<'p> {
    /// Nowhere.
    Nowhere,
    /// Among all else, whatever the level is.
    Log,
    /// To the end of a file.
    File(&'p Path),
}

/// Sets logging up, once per process.
///
/// # Errors
/// When `level` is no filter, the audit log's file cannot be opened, or logging was set up before.
pub fn start(level: &str, format: Format, audit: AuditTo<'_>) -> Result<(), String> {
    let mut filter = EnvFilter::try_new(level).map_err(|error| format!("log.level: {error}"))?;
    // They would write whole messages, and with these tokens and clientIds.
    let traces = level.to_ascii_lowercase().contains("trace");
    for quieter in ["tungstenite=debug", "tokio_tungstenite=debug"].iter().filter(|_| traces) {
        let quiet = quieter.parse().map_err(|error| format!("log.level: {error}"))?;
        filter = filter.add_directive(quiet);
    }
    let audit_too = audit == AuditTo::Log;
    let audits =
        filter_fn(move |event| audit_too && is_audit(event)).with_max_level_hint(Level::INFO);
    let others = filter_fn(|event| !is_audit(event)).with_max_level_hint(Level::TRACE);
    let log = layer(format, std::io::stderr).with_filter(filter.and(others).or(audits));
    let file = match audit {
        AuditTo::File(path) => {
            let only = filter_fn(is_audit).with_max_level_hint(Level::INFO);
            Some(layer(Format::Json, Arc::new(open(path)?)).with_filter(only))
        }
        AuditTo::Nowhere | AuditTo::Log => None,
    };
    let subscriber = tracing_subscriber::registry().with(log).with(file);
    subscriber.try_init().map_err(|error| format!("logging: {error}"))
}

fn is_audit(event: &Metadata<'_>) -> bool {
    event.target() == audit::TARGET
}

fn layer<S, W>(format: Format, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(false).with_target(false);
    match format {
        Format::Text => layer.boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// Nobody else needs to read who was let in.
fn open(path: &Path) -> Result<File, String> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path);
    file.map_err(|error| format!("audit.file: {}: {error}", path.display()))
}
