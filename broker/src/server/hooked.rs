//! The hook, as the configuration has it.

use std::sync::Arc;

use super::{StartError, about, size};
use crate::config::{self, Config, HookEvent, HookServices, OnError};
use crate::core::clock::Clock;
use crate::hook::{Event, Hook, HookOptions, HookStats, Services};

/// Makes ready to ask the hook, if there is one.
pub(super) fn open(
    config: &Config,
    stats: HookStats,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Hook>>, StartError> {
    let hook = &config.hook;
    if hook.url.is_empty() {
        return Ok(None);
    }
    let options = options(hook)?;
    let hook = Hook::new(options, stats, Arc::clone(clock)).map_err(about("the hook"))?;
    Ok(Some(Arc::new(hook)))
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
        secret: hook.secret.get().map(str::to_owned),
        certificates,
        body_max: hook.body_max.as_usize(),
    })
}
