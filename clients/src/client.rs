//! What an application holds: a client, or its two halves.

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::{
    ClientError, Event, Options,
    driver::{Command, Driver, Outcome},
    http::Server,
};

/// So many commands may wait for the client's task to look at them; the queue proper is behind it.
const COMMANDS: usize = 32;

/// A connected Bayeux client. Dropping it, with every handle made of it, disconnects.
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    events: Events,
}

/// The half that speaks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// The half that listens. Whoever does not read it stops the client from fetching more; whoever
/// drops it does not want to.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

impl Client {
    /// Connects to a Bayeux server, such as `http://127.0.0.1:8080/bayeux`. Must be called within a
    /// tokio runtime with time and I/O.
    ///
    /// # Errors
    /// [`ClientError::Url`]; [`ClientError::Lost`] and [`ClientError::Refused`] if the server cannot
    /// be reached or does not speak Bayeux there; [`ClientError::GaveUp`] if it does not want us. A
    /// server that asks to come back later is obeyed and waited for.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::connect_with(url, Options::default()).await
    }

    /// The same with other options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, options: Options) -> Result<Self, ClientError> {
        let server = Server::new(url, &options)?;
        let (commands, received) = mpsc::channel(COMMANDS);
        let (sender, events) = mpsc::channel(options.events.max(1));
        let (first, connected) = oneshot::channel();
        tokio::spawn(Driver::new(server, options, received, sender, first).run());
        connected.await.unwrap_or(Err(ClientError::Closed))?;
        Ok(Self { handle: Handle { commands }, events: Events { events } })
    }

    /// The half that speaks.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Both halves, for two tasks.
    #[must_use]
    pub fn split(self) -> (Handle, Events) {
        (self.handle, self.events)
    }

    /// See [`Handle::subscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn subscribe(&self, name: impl Into<String>) -> Result<(), ClientError> {
        self.handle.subscribe(name).await
    }

    /// See [`Handle::unsubscribe`].
    ///
    /// # Errors
    /// As there.
    pub async fn unsubscribe(&self, name: impl Into<String>) -> Result<(), ClientError> {
        self.handle.unsubscribe(name).await
    }

    /// See [`Handle::publish`].
    ///
    /// # Errors
    /// As there.
    pub async fn publish(
        &self,
        channel: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        self.handle.publish(channel, data).await
    }

    /// See [`Events::next`].
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// See [`Handle::disconnect`].
    pub async fn disconnect(self) {
        self.handle.disconnect().await;
    }
}

impl Handle {
    /// Subscribes to a channel or a pattern, and to it again in every later session. Done when the
    /// server has confirmed it.
    ///
    /// # Errors
    /// [`ClientError::Refused`]; [`ClientError::QueueFull`], [`ClientError::GaveUp`],
    /// [`ClientError::Closed`].
    pub async fn subscribe(&self, name: impl Into<String>) -> Result<(), ClientError> {
        let name = name.into();
        self.ask(|outcome| Command::Subscribe(name, outcome)).await
    }

    /// Takes a channel or a pattern back.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn unsubscribe(&self, name: impl Into<String>) -> Result<(), ClientError> {
        let name = name.into();
        self.ask(|outcome| Command::Unsubscribe(name, outcome)).await
    }

    /// Publishes `data`, as JSON, to a channel. Done when the server has confirmed it. A
    /// client's messages are sent in the order of the calls, several to a request.
    ///
    /// # Errors
    /// [`ClientError::Data`]; [`ClientError::Refused`]; [`ClientError::Lost`] if no answer came, so
    /// that publishing again might publish twice; [`ClientError::QueueFull`],
    /// [`ClientError::GaveUp`], [`ClientError::Closed`].
    pub async fn publish(
        &self,
        channel: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), ClientError> {
        let channel = channel.into();
        let data = serde_json::value::to_raw_value(data)
            .map_err(|error| ClientError::Data(error.to_string()))?;
        self.ask(|outcome| Command::Publish(channel, data, outcome)).await
    }

    /// Says goodbye, behind whatever still waits to be sent. Done when the server has answered, or
    /// has not in time.
    pub async fn disconnect(&self) {
        // An error says that the client is no more, which is what was wanted.
        let _ = self.ask(Command::Disconnect).await;
    }

    async fn ask(&self, command: impl FnOnce(Outcome) -> Command) -> Result<(), ClientError> {
        let (outcome, answered) = oneshot::channel();
        let sent = self.commands.send(command(outcome)).await;
        sent.map_err(|_| ClientError::Closed)?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }
}

impl Events {
    /// The next event; `None` after the last, when the client was disconnected or gave up (the
    /// state event before it says why). Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

#[cfg(test)]
mod tests;
