// Drives npm's cometd as an application would, under the interface that all
// drivers here share. Runs in node and in the browser.
import { Driver } from './driver.js';

export class CometdDriver extends Driver {
  handshakes = 0;
  subscribed = 0; // subscriptions the server has agreed to, in all sessions
  #cometd;
  #websocketWorks;
  #subscriptions = new Map();
  #handshakeReply;

  // `transport` is one or several; without it, cometd has all. `configuration` is cometd's own, over
  // what suits most tests. With `probe`, it asks first whether WebSocket works.
  constructor(library, url, { transport, extensions = [], configuration = {}, probe = false } = {}) {
    super();
    this.#websocketWorks = async () => !probe || library.websocketWorks(url, library.probing);
    this.#cometd = new library.CometD();
    const quick = { logLevel: 'error', backoffIncrement: 200, maxBackoff: 1000 };
    this.#cometd.configure({ ...quick, ...configuration, url });
    for (const type of this.#cometd.getTransportTypes()) {
      if (transport && ![transport].flat().includes(type)) this.#cometd.unregisterTransport(type);
    }
    for (const name of extensions) {
      this.#cometd.registerExtension(name, new library[`${name}Extension`]());
    }
    this.#cometd.addListener('/meta/handshake', (reply) => this.#handshaken(reply));
    this.#cometd.addListener('/meta/subscribe', ({ successful }) => {
      if (successful) this.subscribed += 1;
    });
  }

  // cometd.js leaves it to the application to subscribe again.
  #handshaken(reply) {
    if (!reply.successful) return;
    this.handshakes += 1;
    this.#handshakeReply = reply;
    if (!reply.reestablish) return;
    for (const [channel, handle] of this.#subscriptions) {
      this.#subscriptions.set(channel, this.#cometd.resubscribe(handle));
    }
  }

  // Resolves at the first handshake that succeeds: on the way there, each
  // transport that does not work reports a failure of its own.
  async start() {
    this.#cometd.websocketEnabled = await this.#websocketWorks();
    await new Promise((resolve) => {
      this.#cometd.handshake({}, ({ successful }) => successful && resolve());
    });
  }

  subscribe(channel) {
    return this.#answer((callback) => {
      const listen = ({ channel, data }) => this.received.push([channel, plain(data)]);
      this.#subscriptions.set(channel, this.#cometd.subscribe(channel, listen, {}, callback));
    });
  }

  unsubscribe(channel) {
    const handle = this.#subscriptions.get(channel);
    this.#subscriptions.delete(channel);
    return this.#answer((callback) => this.#cometd.unsubscribe(handle, {}, callback));
  }

  publish(channel, data) {
    return this.#answer((callback) => this.#cometd.publish(channel, data, {}, callback));
  }

  // Resolves when every one is answered.
  batch(messages) {
    const answers = [];
    this.#cometd.batch(() => {
      for (const [channel, data] of messages) answers.push(this.publish(channel, data));
    });
    return Promise.all(answers);
  }

  publishBinary(channel, bytes) {
    const data = Uint8Array.from(bytes);
    return this.#answer((callback) => {
      this.#cometd.publishBinary(channel, data, true, null, {}, callback);
    });
  }

  // What its callback is told.
  remoteCall(target, data, timeout) {
    return new Promise((resolve) => {
      this.#cometd.remoteCall(target, data, timeout, resolve);
    }).then(({ successful, data, error, channel }) => ({ successful, data, error, channel }));
  }

  disconnect() {
    return this.#answer((callback) => this.#cometd.disconnect({}, callback));
  }

  status() {
    const { received, handshakes, subscribed } = this;
    const transport = this.#cometd.getTransport()?.type;
    const advice = this.#cometd.getAdvice();
    const reply = this.#handshakeReply;
    return { received, handshakes, subscribed, transport, advice, reply };
  }

  #answer(ask) {
    return new Promise((resolve, reject) => {
      ask(({ successful, error, failure }) => {
        if (successful) resolve();
        else reject(new Error(error ?? failure?.reason ?? 'failed'));
      });
    });
  }
}

// Decoded bytes, in a form that survives the way to the test.
function plain(data) {
  if (!(data?.data instanceof ArrayBuffer)) return data;
  return { ...data, data: Array.from(new Uint8Array(data.data)) };
}
