//! The lean path: the Bayeux endpoint's HTTP/1.1, and that of publishers, spoken by the connection's own
//! task.
//!
//! The library that serves everything else keeps two buffers of 8 KiB for each connection, and a held
//! poll is a connection that does nothing for half a minute. Here it is little more than its socket and
//! its session: buffers exist while bytes are in them. Whatever is not a plain request for the endpoint
//! is handed over with the bytes already read, and the connection stays there.
//!
//! A held connect is answered as soon as other bytes follow it (R8a): they may be a request that waits
//! for nothing else.

mod alarm;
mod framing;
mod head;
mod line;
#[doc(hidden)]
pub mod reading;
mod response;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response};
use tokio::select;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use self::framing::Body;
use self::head::{Request, Route};
pub use self::line::Line;
use self::line::Next;
use self::response::Spelled;
use super::api::Api;
use super::bayeux::{Begun, Endpoint, Head, Waiting};
use super::connection::Connection;
use super::listener::ListenerOptions;
use super::publish;
use super::stats::HttpStats;
use crate::exchange::Answer;

/// What the lean path serves.
#[derive(Debug, Clone)]
pub struct Lean {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// The paths it is mounted at.
    pub mounts: Arc<[String]>,
    /// Publishing.
    pub api: Arc<Api>,
}

/// What a connection goes by.
#[derive(Debug)]
pub struct Around<'a> {
    /// Its deadlines.
    pub options: &'a ListenerOptions,
    /// What is counted.
    pub stats: &'a HttpStats,
    /// Told when to let what is under way finish, and end.
    pub stop: &'a CancellationToken,
}

/// How the lean path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With the connection.
    Closed,
    /// Something else has come, which others go on with.
    Others,
}

/// How often it is looked whether the client of a request that takes its time is still there.
const PATIENCE: Duration = Duration::from_secs(1);

impl Lean {
    /// Serves requests for the endpoint, one after another.
    ///
    /// # Errors
    /// When the socket fails, or its deadlines pass.
    pub async fn serve(&self, line: &mut Line, around: &Around<'_>) -> io::Result<After> {
        let mut stopped = pin!(around.stop.cancelled());
        loop {
            let idle = self.now() + around.options.idle;
            let request = select! {
                biased;
                next = line.next(&self.mounts, idle) => match next? {
                    Next::Request(request) => request,
                    Next::Other if line.mute => return Ok(After::Closed),
                    Next::Other => return Ok(After::Others),
                    Next::End => break,
                },
                () = &mut stopped => break,
            };
            let read = line.connection.busy();
            let connection = Arc::clone(&line.connection);
            // On the heap, like all that is over before a connection waits again.
            let step = select! {
                biased;
                step = Box::pin(self.begin(line, request, around)) => step,
                () = departure(&connection) => return Ok(After::Closed),
            };
            let spelled = match step {
                Step::Answered(spelled) => spelled,
                Step::Held(mut held) => {
                    let connect = &mut held.waiting.connect;
                    let follows = read.is_some_and(|(session, no)| connect.follows(&session, no));
                    match line.hold(connect, follows).await? {
                        Some(answer) => Box::pin(self.finish(held, answer, around)).await,
                        None if line.is_blank() => return Ok(After::Closed),
                        // What the client sent before it went is heard. No answer to it may come where
                        // one to the connect is due.
                        None => {
                            line.mute = true;
                            line.connection.came_ahead();
                            line.connection.idle();
                            continue;
                        }
                    }
                }
            };
            line.connection.idle();
            let last = spelled.close || line.over;
            if !line.is_at_end() {
                line.connection.came_ahead();
            }
            line.respond(spelled).await?;
            if last {
                break;
            }
            // Whoever sends many at once takes turns with others.
            tokio::task::coop::consume_budget().await;
        }
        line.shut().await?;
        Ok(After::Closed)
    }

    fn now(&self) -> Instant {
        self.endpoint.exchange.now()
    }

    fn wall_s(&self) -> u64 {
        let wall_us = self.endpoint.exchange.broker().clock().wall_us();
        u64::try_from(wall_us / 1_000_000).unwrap_or(0)
    }

    /// Works off a request. The connection ends with it if the client says so, or if a part of it will
    /// not be read.
    async fn begin(&self, line: &mut Line, request: Box<Request>, around: &Around<'_>) -> Step {
        let Request { route, method, query, headers, mut framing, expects, close } = *request;
        let (has_body, takes_body) = (!framing.is_over(), method == Method::POST);
        line.owe_leave(expects);
        let head = Head::new(method, query, headers, Arc::clone(&line.peer));
        let body = Body { source: line, framing: &mut framing };
        let response = match route {
            Route::Publish(rest) => publish::answer_whole(&self.api, &head, &rest, body).await,
            Route::Bayeux => match self.endpoint.begin(head, body).await {
                Begun::Answered(response) => response,
                Begun::Held(waiting) => return Step::Held(Held { close, waiting }),
            },
        };
        // As much as the library passes over of a body that nobody wanted: two pieces that are at hand, or
        // one if leave for it was asked. If that is not all, the connection ends.
        for _ in 0..if expects { 1 } else { 2 } {
            let _ = framing.take(&mut line.ahead);
        }
        if has_body && (!takes_body || response.status().as_u16() >= 400) {
            // Who is refused may be sending still.
            line.connection.leaves_unread();
        }
        Step::Answered(self.spell(response, close || !framing.is_over(), around))
    }

    /// Spells the answer to a connect that was held.
    async fn finish(&self, held: Held, answer: Box<Answer>, around: &Around<'_>) -> Box<Spelled> {
        let Held { waiting, close } = held;
        let response = self.endpoint.finish(waiting.asked, *answer).await;
        self.spell(response, close, around)
    }

    fn spell(&self, response: Response<Bytes>, close: bool, around: &Around<'_>) -> Box<Spelled> {
        around.stats.responded(response.status());
        // Held polls are let go a moment before everything is told to stop.
        let stops = around.stop.is_cancelled() || self.endpoint.exchange.broker().is_draining();
        let close = close || stops;
        Box::new(response::spell(response, close, self.wall_s()))
    }
}

/// Waits until the client of a request that takes its time is seen to have closed its side. Whoever does so
/// right behind a request is answered if that takes less than a look; whatever else they sent is not heard
/// after it.
async fn departure(connection: &Connection) {
    let mut looks = interval(PATIENCE);
    // The first comes at once.
    looks.tick().await;
    loop {
        looks.tick().await;
        if connection.is_gone() {
            return;
        }
    }
}

/// What a request comes to.
enum Step {
    Answered(Box<Spelled>),
    Held(Held),
}

/// A connect that waits, and whether the connection ends with it.
struct Held {
    close: bool,
    waiting: Box<Waiting>,
}
