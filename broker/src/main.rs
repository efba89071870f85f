//! `weft`: starts the broker, waits to be told to stop, stops in order.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use weft_broker::auth::key_tool;
use weft_broker::config::{self, Args, Audit, Command, Config, LogFormat, RuleAction};
use weft_broker::log::AuditTo;
use weft_broker::{log, policing, server, store_tool};

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Key { name, roles }) = &args.command {
        return finish(key_tool::make(name, roles).map(|text| {
            say(&text);
            ExitCode::SUCCESS
        }));
    }
    if let Some(Command::Bench { work }) = &args.command {
        return finish(weft_bench::run(work).map(|()| ExitCode::SUCCESS));
    }
    let done = load(&args).and_then(|config| match &args.command {
        Some(Command::Store { action }) => {
            store_tool::run(&config, action).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Key { .. } | Command::Bench { .. }) => Ok(ExitCode::SUCCESS),
        Some(Command::Explain { credentials, action, channel }) => {
            explain(&config, credentials.as_deref(), *action, channel)
        }
        Some(Command::Serve) | None => run(&args, &config),
    });
    finish(done)
}

/// Whoever asked may be gone.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn finish(done: Result<ExitCode, String>) -> ExitCode {
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

/// Says what the rules come to. A token on the command line is seen by whoever sees processes.
fn explain(
    config: &Config,
    credentials: Option<&str>,
    action: RuleAction,
    channel: &str,
) -> Result<ExitCode, String> {
    let mut line = String::new();
    let credentials = match credentials {
        Some("-") => {
            let read = std::io::stdin().read_line(&mut line);
            read.map_err(|error| format!("standard input: {error}"))?;
            Some(line.trim())
        }
        given => given,
    };
    let question = policing::Question { credentials, action, channel };
    let (text, allowed) = runtime()?.block_on(policing::explain(&config.auth, question))?;
    say(&text);
    Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // A message to a thousand sessions fills a worker's own queue many times over, and what does not fit
    // goes to the common one. If sockets are looked at after every 61 tasks, as is the default, they fill
    // its own queue faster than it empties, and whoever landed in the common one is answered seconds late.
    builder.event_interval(256).global_queue_interval(61);
    builder.enable_all().build().map_err(|error| format!("runtime: {error}"))
}

fn run(args: &Args, config: &Config) -> Result<ExitCode, String> {
    let runtime = runtime()?;
    let code = runtime.block_on(serve(args, config));
    // What the drain timeout cut is not waited for a second time.
    runtime.shutdown_background();
    code
}

async fn serve(args: &Args, config: &Config) -> Result<ExitCode, String> {
    let cannot = |error: std::io::Error| format!("signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let running = server::start(config).await.map_err(|error| error.to_string())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(args, &running),
        }
    }
    tokio::select! {
        _ = running.stop() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Err("interrupted twice".to_owned()),
    }
}

/// Reads the configuration again. What is wrong with it is said, and changes nothing.
fn reload(args: &Args, running: &server::Running) {
    let loaded = config::load(args, config::environment()).map_err(|error| error.to_string());
    match loaded.and_then(|loaded| running.reload(&loaded.config)) {
        Ok(()) => tracing::info!("reloaded"),
        Err(error) => tracing::error!(error, "not reloaded: all stays as it was"),
    }
}
