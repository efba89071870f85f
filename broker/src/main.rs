//! `weft`: starts the broker, waits to be told to stop, stops in order.

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use weft_broker::config::{self, Args, Audit, Command, Config, LogFormat};
use weft_broker::log::AuditTo;
use weft_broker::{log, server, store_tool};

fn main() -> ExitCode {
    let args = Args::parse();
    let done = load(&args).and_then(|config| match &args.command {
        Some(Command::Store { action }) => {
            store_tool::run(&config, action).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Serve) | None => run(&config),
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weft: {error}");
            ExitCode::FAILURE
        }
    }
}

fn load(args: &Args) -> Result<Config, String> {
    let loaded = config::load(args, config::environment()).map_err(|error| error.to_string())?;
    let format = match loaded.config.log.format {
        LogFormat::Text => log::Format::Text,
        LogFormat::Json => log::Format::Json,
    };
    let audit = match &loaded.config.audit {
        Audit { enabled: false, .. } => AuditTo::Nowhere,
        Audit { file, .. } if file.as_os_str().is_empty() => AuditTo::Log,
        Audit { file, .. } => AuditTo::File(file),
    };
    log::start(&loaded.config.log.level, format, audit)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}

fn run(config: &Config) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("runtime: {error}"))?;
    let code = runtime.block_on(serve(config));
    // What the drain timeout cut is not waited for a second time.
    runtime.shutdown_background();
    code
}

async fn serve(config: &Config) -> Result<ExitCode, String> {
    let cannot = |error: std::io::Error| format!("signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let running = server::start(config).await.map_err(|error| error.to_string())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::select! {
        _ = running.stop() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Err("interrupted twice".to_owned()),
    }
}
