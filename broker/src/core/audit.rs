//! What must hold whenever nothing is under way: asked by the simulation after each of its steps.

use std::collections::HashSet;

use super::broker::Broker;

impl Broker {
    /// Recounts everything that is counted by hand and checks each session's one deadline.
    ///
    /// # Errors
    /// Says which invariant is broken.
    pub fn audit(&self) -> Result<(), String> {
        let mut sessions = 0;
        let mut subscriptions = 0;
        let mut broken = Vec::new();
        let mut frames = HashSet::new();
        let mut frame_bytes = 0;
        self.registry.for_each(|session| {
            sessions += 1;
            let own = session.subscriptions.lock().len();
            subscriptions += own;
            let state = session.state.lock();
            if state.subscriptions != own {
                broken.push(format!("{session:?} has {own} subscriptions, counted otherwise"));
            }
            if !self.deadlines.has(state.armed, session.key) {
                broken.push(format!("{session:?} has no armed deadline"));
            }
            let late = state.expires_at(self.idle_max(&state)).filter(|&at| at < state.armed);
            if late.is_some() {
                broken.push(format!("{session:?} has a deadline that comes too late"));
            }
            let limits = self.options.queue;
            if state.queue.len() > limits.messages.max(1) {
                broken.push(format!("{session:?} has {} messages queued", state.queue.len()));
            }
            if state.queue.bytes() > limits.bytes && state.queue.len() > 1 {
                broken.push(format!("{session:?} has {} bytes queued", state.queue.bytes()));
            }
            frame_bytes += state.queue.slot_bytes();
            frame_bytes += state.behind.as_ref().map_or(0, |behind| behind.cost());
            for frame in state.queue.frames() {
                if frames.insert(frame.identity()) {
                    frame_bytes += frame.cost();
                }
            }
            let read = state.behind.as_ref().map_or(0, |behind| behind.len());
            if read > super::behind::CHANNELS_MAX {
                broken.push(format!("{session:?} reads {read} channels"));
            }
            if state.behind.as_ref().is_some_and(|behind| behind.is_done()) {
                broken.push(format!("{session:?} is behind with nothing to read"));
            }
        });
        let (channels, cost) = self.channels.recount(|frame| {
            if frames.insert(frame.identity()) {
                frame_bytes += frame.cost();
            }
        });
        let kept = self.channels.kept();
        let equal = [
            ("sessions", self.registry.len(), sessions),
            ("deadlines", self.deadlines.len(), sessions),
            ("subscriptions", self.subscriptions.len(), subscriptions),
            ("members", self.subscriptions.recount(), subscriptions),
            ("channels in memory", kept.0, channels),
            ("bytes of the past", kept.1, cost),
            ("frame bytes", self.frame_bytes(), frame_bytes),
        ];
        for (what, counted, truth) in equal {
            if counted != truth {
                broken.push(format!("{what}: {counted} counted, {truth} found"));
            }
        }
        if broken.is_empty() { Ok(()) } else { Err(broken.join("; ")) }
    }
}
