// The life of one Bayeux session as a state machine. It does no I/O and reads
// no clock: what it wants done it asks of `io`, and answers come in as calls.
//
//   io.type                     the transport's connection type
//   io.fit(messages)            how many of them go into one request
//   io.send(messages, ms, done) done(error, replies), later; returns an abort
//                               function, after which done is never called
//   io.after(ms, run)           a timer; returns its cancel function
//   io.random()                 [0, 1)
//   io.emit(name, ...args)      'state' and 'error', for the application
//
// Two requests at most are under way, so that a browser keeps its other
// connections: the link (a handshake, then one connect after the other) and
// one with commands (see outbox.js).
import { allowsReturn, backoff, readAdvice } from './advice.js';
import { BayeuxError, Outbox } from './outbox.js';
import { Subscriptions } from './subscriptions.js';

const DEFAULTS = {
  networkDelay: 10000, // how much longer than the server's hold a request may take
  base: 1000, // back-off after the first failure
  cap: 30000, // and its limit
  maxBatch: 100,
  maxQueue: 10000,
};

export class Session {
  #io;
  #options;
  #outbox;
  #subscriptions = new Subscriptions();
  #running = false;
  #closing = false;
  #state = 'unconnected';
  #multipleClients = false;
  #clientId = null;
  #lastId = 0;
  #advice = readAdvice();
  #link = null; // aborts the handshake or connect under way, or the wait for the next
  #broken = false; // the last connect failed, and its reply may be lost
  #failures = 0;

  constructor(io, options = {}) {
    this.#io = io;
    this.#options = { ...DEFAULTS, ...options };
    const session = this;
    this.#outbox = new Outbox(io, this.#options, {
      get ready() {
        if (session.#clientId === null) return false;
        return session.#closing || session.#state !== 'unconnected';
      },
      get clientId() {
        return session.#clientId;
      },
      stamp: (message) => this.#stamp(message),
      received: (replies, clientId) => this.#commandsAnswered(replies, clientId),
    });
  }

  get state() {
    return this.#state;
  }

  get multipleClients() {
    return this.#multipleClients;
  }

  start() {
    if (this.#running) return;
    this.#running = true;
    this.#failures = 0;
    this.#handshake();
  }

  // Subscribing twice to one name is harmless, so every call asks the server
  // and gets the server's own answer.
  async subscribe(name, listener) {
    const entry = { listener };
    this.#subscriptions.add(name, entry);
    try {
      await this.#command({ channel: '/meta/subscribe', subscription: name });
    } catch (error) {
      this.#subscriptions.remove(name, entry);
      throw error;
    }
    return { channel: name, cancel: () => this.#unsubscribe(name, entry) };
  }

  async publish(channel, data, ext) {
    await this.#command({ channel, data, ...(ext && { ext }) });
  }

  // Goes behind what still waits, so that a publish just made gets out first.
  async disconnect() {
    if (!this.#running || this.#closing) return;
    if (this.#clientId && this.#state !== 'unconnected') {
      this.#closing = true;
      this.#cancelLink();
      this.#become('unconnected', 'disconnected');
      await this.#command({ channel: '/meta/disconnect' }).catch(() => {});
    }
    this.#subscriptions.clear();
    if (this.#running) this.#stop('disconnected');
  }

  // The page goes away: everything stops here and now. Returns what is left to
  // tell the server. Subscriptions stay, for a page that comes back.
  leave() {
    const goodbye = this.#clientId ? [this.#stamp({ channel: '/meta/disconnect' })] : [];
    if (this.#running) this.#stop('the page is hidden');
    return goodbye;
  }

  // The page is back.
  resume() {
    if (this.#subscriptions.names.length > 0) this.start();
  }

  #command(message) {
    this.start();
    return this.#outbox.add(message);
  }

  async #unsubscribe(name, entry) {
    const last = this.#subscriptions.remove(name, entry);
    // Without a session there is nothing to take back: the next one starts
    // with the names that are left.
    // A refusal would change nothing: nobody here listens any more.
    if (last && this.#clientId) {
      await this.#command({ channel: '/meta/unsubscribe', subscription: name }).catch(() => {});
    }
  }

  #handshake() {
    this.#clientId = null;
    this.#broken = false;
    this.#advice = readAdvice(); // the old session's advice went with it
    this.#become('connecting');
    const message = {
      channel: '/meta/handshake',
      version: '1.0',
      supportedConnectionTypes: [this.#io.type],
    };
    this.#sendLink(message, this.#options.networkDelay, (reply) => {
      const types = reply.supportedConnectionTypes;
      if (Array.isArray(types) && !types.includes(this.#io.type)) {
        this.#giveUp(`the server does not speak ${this.#io.type}`);
        return;
      }
      this.#clientId = reply.clientId;
      this.#outbox.resubscribe(this.#subscriptions.names);
      this.#outbox.flush();
      this.#next(0);
    });
  }

  #connect() {
    const message = { channel: '/meta/connect', connectionType: this.#io.type };
    // After a break we want to know at once where we stand; and the broker
    // takes it as a sign that its last reply may not have arrived.
    if (this.#broken) message.advice = { timeout: 0 };
    const hold = this.#broken ? 0 : this.#advice.timeout;
    this.#sendLink(message, hold + this.#options.networkDelay, () => {
      this.#failures = 0;
      this.#broken = false;
      this.#become('connected');
      this.#outbox.flush();
      this.#next(0);
    });
  }

  #sendLink(message, ms, succeeded) {
    this.#link = this.#io.send([this.#stamp(message)], ms, (error, replies) => {
      this.#link = null;
      const reply = replies?.find((m) => m.channel === message.channel);
      if (!reply) {
        this.#broken = true;
        this.#failed(error?.message ?? 'no reply');
        return;
      }
      this.#receive(replies);
      if (!this.#idle) return;
      if (reply.successful) succeeded(reply);
      else this.#failed(reply.error);
    });
  }

  #failed(reason) {
    this.#failures += 1;
    this.#become('unconnected', reason);
    this.#next(backoff(this.#failures, this.#options, this.#io.random()), reason);
  }

  // The newest advice says what comes next, and when.
  #next(delay, reason = 'the server asked us not to come back') {
    if (!this.#idle) return;
    if (!allowsReturn(this.#advice)) {
      this.#giveUp(reason);
      return;
    }
    const anew = this.#advice.reconnect === 'handshake' || !this.#clientId;
    this.#link = this.#io.after(this.#advice.interval + delay, () => {
      this.#link = null;
      if (anew) this.#handshake();
      else this.#connect();
    });
  }

  #commandsAnswered(replies, clientId) {
    const current = clientId === this.#clientId;
    this.#receive(replies, current);
    const unknown = replies.find((m) => !m.successful && m.advice?.reconnect === 'handshake');
    if (!unknown || !current || this.#closing) return;
    this.#cancelLink(); // it waits for a session that is no more
    this.#failed(unknown.error);
  }

  #receive(replies, current = true) {
    for (const message of replies) {
      if (message.advice && current) this.#advice = readAdvice(message.advice, this.#io.type);
      if ('data' in message) {
        this.#subscriptions.deliver(message, (error) => this.#io.emit('error', error));
      }
    }
  }

  // Ids only ever grow, whatever the session.
  #stamp(message) {
    const id = String((this.#lastId += 1));
    return this.#clientId ? { ...message, clientId: this.#clientId, id } : { ...message, id };
  }

  // False when a listener has ended the session, or even begun another.
  get #idle() {
    return this.#running && !this.#closing && !this.#link;
  }

  #cancelLink() {
    this.#link?.();
    this.#link = null;
  }

  #giveUp(reason) {
    this.#stop(reason);
    this.#io.emit('error', new BayeuxError(reason));
  }

  #stop(reason) {
    this.#running = false;
    this.#closing = false;
    this.#clientId = null;
    this.#cancelLink();
    this.#outbox.close(new BayeuxError(reason));
    this.#become('unconnected', reason);
  }

  #become(state, reason) {
    const { multipleClients } = this.#advice;
    if (state === this.#state && multipleClients === this.#multipleClients) return;
    this.#state = state;
    this.#multipleClients = multipleClients;
    this.#io.emit('state', state, { multipleClients, reason });
  }
}
