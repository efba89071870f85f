// What the application wants said: subscribe, unsubscribe, publish, disconnect.
// One request at a time carries as much of the queue as fits; the rest gathers
// meanwhile. That keeps publishes in order and takes one connection only.
import { backoff } from './advice.js';

export class BayeuxError extends Error {
  constructor(text, reply) {
    super(text);
    this.name = 'BayeuxError';
    this.reply = reply;
  }
}

export class Outbox {
  #io;
  #options;
  #session; // { ready, clientId, stamp(message), received(replies, clientId) }
  #queue = [];
  #flight = null; // { batch, abort } of the request under way
  #pause = null; // cancels the wait after a failed request
  #failures = 0;

  constructor(io, options, session) {
    this.#io = io;
    this.#options = options;
    this.#session = session;
  }

  add(message) {
    return new Promise((resolve, reject) => {
      if (this.#queue.length >= this.#options.maxQueue) {
        reject(new BayeuxError('too many messages are waiting'));
      } else {
        this.#queue.push({ message, resolve, reject });
        this.flush();
      }
    });
  }

  // Before whatever waits: the new session's subscriptions, unless they wait already.
  resubscribe(names) {
    const waiting = new Set(this.#queue.map(({ message }) => message.subscription));
    const fresh = names.filter((name) => !waiting.has(name));
    this.#queue.unshift(
      ...fresh.map((subscription) => ({
        message: { channel: '/meta/subscribe', subscription },
        resolve: () => {},
        reject: (error) => this.#io.emit('error', error),
      })),
    );
  }

  flush() {
    if (this.#flight || this.#pause || !this.#session.ready || this.#queue.length === 0) return;
    const messages = this.#queue
      .slice(0, this.#options.maxBatch)
      .map(({ message }) => this.#session.stamp(message));
    messages.length = this.#io.fit(messages);
    if (messages.length === 0) {
      this.#queue.shift().reject(new BayeuxError('the message is too long for this transport'));
      this.flush();
      return;
    }
    const batch = this.#queue.splice(0, messages.length);
    const { clientId } = this.#session;
    const abort = this.#io.send(messages, this.#options.networkDelay, (error, replies) => {
      this.#flight = null;
      if (error) {
        this.#failed(batch, error);
      } else {
        this.#failures = 0;
        this.#session.received(replies, clientId);
        this.#answered(batch, messages, replies);
      }
      this.flush();
    });
    this.#flight = { batch, abort };
  }

  // The end: nothing that waits will be answered.
  close(error) {
    const { batch = [], abort } = this.#flight ?? {};
    abort?.();
    this.#pause?.();
    this.#flight = null;
    this.#pause = null;
    this.#failures = 0;
    for (const command of [...batch, ...this.#queue.splice(0)]) command.reject(error);
  }

  #answered(batch, messages, replies) {
    const again = [];
    batch.forEach((command, index) => {
      const reply = replies.find((m) => m.id === messages[index].id && 'successful' in m);
      if (reply?.successful) {
        command.resolve(reply);
      } else if (reply?.advice?.reconnect === 'handshake' && !command.again) {
        // The session was unknown, so nothing has been done: once more under the next one.
        again.push({ ...command, again: true });
      } else {
        command.reject(new BayeuxError(reply?.error ?? 'no reply', reply));
      }
    });
    this.#queue.unshift(...again);
  }

  // Nobody knows whether the server acted. Subscribing again does no harm;
  // publishing again might, so that is left to whoever published.
  #failed(batch, error) {
    const harmless = ({ message }) =>
      message.channel === '/meta/subscribe' || message.channel === '/meta/unsubscribe';
    this.#queue.unshift(...batch.filter(harmless));
    this.#failures += 1;
    this.#pause = this.#io.after(backoff(this.#failures, this.#options, this.#io.random()), () => {
      this.#pause = null;
      this.flush();
    });
    for (const command of batch) if (!harmless(command)) command.reject(error);
  }
}
