// Joins the session to the world: timers, a transport, the page's life.
import { LongPolling } from './transports/long_polling.js';
import { CallbackPolling } from './transports/callback_polling.js';
import { Session } from './session.js';

const TRANSPORTS = { 'long-polling': LongPolling, 'callback-polling': CallbackPolling };

export class Client {
  #session;
  #transport;
  #listeners = { state: new Set(), error: new Set() };

  constructor(url, { transport = 'long-polling', ...options } = {}) {
    this.#transport = typeof transport === 'string' ? named(transport, url, options) : transport;
    this.#session = new Session(
      {
        type: this.#transport.type,
        fit: (messages) => this.#transport.fit(messages),
        send: (messages, ms, done) => this.#send(messages, ms, done),
        after(ms, run) {
          const timer = setTimeout(run, ms);
          return () => clearTimeout(timer);
        },
        random: Math.random,
        emit: (name, ...args) => this.#emit(name, args),
      },
      options,
    );
    this.#followPage();
  }

  get state() {
    return this.#session.state;
  }

  // The server sees several of us in one browser and lets only one wait.
  get multipleClients() {
    return this.#session.multipleClients;
  }

  // Returns a function that takes the listener away again.
  on(name, listener) {
    this.#listeners[name].add(listener);
    return () => this.#listeners[name].delete(listener);
  }

  // Needed only to connect before there is anything to subscribe or publish.
  connect() {
    this.#session.start();
  }

  subscribe(channel, listener) {
    return this.#session.subscribe(channel, listener);
  }

  publish(channel, data, ext) {
    return this.#session.publish(channel, data, ext);
  }

  disconnect() {
    return this.#session.disconnect();
  }

  #send(messages, ms, done) {
    const abort = new AbortController();
    let open = true;
    const close = () => {
      clearTimeout(timer);
      return open && !(open = false);
    };
    const settle = (error, replies) => close() && done(error, replies);
    const timer = setTimeout(() => {
      settle(new Error('no answer in time'));
      abort.abort();
    }, ms);
    this.#transport.send(messages, abort.signal).then(
      (replies) => {
        if (Array.isArray(replies)) settle(null, replies);
        else settle(new Error('the answer is not a list of messages'));
      },
      (error) => settle(error),
    );
    return () => {
      if (close()) abort.abort();
    };
  }

  #emit(name, args) {
    if (name === 'error' && this.#listeners.error.size === 0) console.error(...args);
    for (const listener of [...this.#listeners[name]]) {
      try {
        listener(...args);
      } catch (error) {
        console.error(error); // the session must go on
      }
    }
  }

  // A page that is left says so, and the server need not wait for its session
  // to expire. One that is taken out of the browser's cache starts anew.
  #followPage() {
    if (typeof document === 'undefined') return;
    addEventListener('pagehide', () => {
      const goodbye = this.#session.leave();
      if (goodbye.length > 0) this.#transport.leave?.(goodbye);
    });
    addEventListener('pageshow', ({ persisted }) => persisted && this.#session.resume());
  }
}

function named(name, url, options) {
  const Transport = TRANSPORTS[name];
  if (!Transport) throw new Error(`unknown transport: ${name}`);
  return new Transport(url, options);
}
