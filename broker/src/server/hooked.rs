//! The hook, as the configuration has it.

use std::sync::Arc;

use prometheus::Registry;

use super::{StartError, about, size};
use crate::config::{self, Config, HookEvent, HookServices, OnError};
use crate::core::clock::Clock;
use crate::guard::{Guard, Places};
use crate::hook::{Event, Hook, HookOptions, HookStats, Services};

/// Puts the hook beside the guard, if there is one. What is counted of it is there in any case.
pub(super) fn with_hook(
    guard: Guard,
    config: &Config,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<Guard, StartError> {
    let stats = HookStats::register(registry).map_err(about("metrics"))?;
    if config.hook.url.is_empty() {
        return Ok(guard);
    }
    let options = options(&config.hook)?;
    let hook = Hook::new(options, stats, Arc::clone(clock)).map_err(about("the hook"))?;
    let auth = &config.auth;
    let places = Places {
        token_field: auth.token_field.clone(),
        cookie: Some(auth.cookie.clone()).filter(|name| !name.is_empty()),
    };
    Ok(guard.with_hook(Some(Arc::new(hook)), places))
}

fn options(hook: &config::Hook) -> Result<HookOptions, StartError> {
    let event = |event: &HookEvent| match event {
        HookEvent::Handshake => Event::Handshake,
        HookEvent::Subscribe => Event::Subscribe,
        HookEvent::Publish => Event::Publish,
    };
    let certificates = if hook.ca.as_os_str().is_empty() {
        None
    } else {
        let read = std::fs::read(&hook.ca);
        Some(read.map_err(about(format!("hook.ca {}", hook.ca.display())))?)
    };
    Ok(HookOptions {
        url: hook.url.clone(),
        events: hook.events.iter().map(event).collect(),
        services: match &hook.services {
            HookServices::All(true) => Services::All,
            HookServices::All(false) => Services::None,
            HookServices::Some(patterns) => Services::Some(patterns.clone()),
        },
        timeout: hook.timeout.get(),
        cache: hook.cache.get(),
        cache_entries: size(hook.cache_entries),
        allows_on_error: hook.on_error == OnError::Allow,
        concurrent: size(hook.concurrent),
        per_session: size(hook.per_session),
        secret: Some(hook.secret.expose().to_owned()).filter(|secret| !secret.is_empty()),
        certificates,
        body_max: hook.body_max.as_usize(),
    })
}
