// Drives npm's faye as an application would, under the interface that all
// drivers here share. Runs in node and in the browser.
import { Driver } from './driver.js';

const ALL = ['websocket', 'eventsource', 'long-polling', 'cross-origin-long-polling', 'callback-polling'];

export class FayeDriver extends Driver {
  handshakes = 0;
  subscribed = 0;
  #client;
  #websocketWorks;
  #subscriptions = new Map();
  #connectionType;
  #advice;
  #handshakeReply;

  // faye shakes hands by polling, whatever comes then. Its long-polling cannot post to another origin;
  // there it starts with callback-polling and goes on with cross-origin-long-polling.
  // With `probe`, it asks first whether WebSocket works.
  constructor(Faye, url, options = {}) {
    super();
    const { transport, crossOrigin = false, retry = 0.5, extensions = [], probe = false } = options;
    this.#websocketWorks = async () => !probe || Faye.websocketWorks(url, Faye.probing);
    this.#client = new Faye.Client(url, { retry });
    const posting = crossOrigin ? ['cross-origin-long-polling', 'callback-polling'] : ['long-polling'];
    const wanted = transport === 'callback-polling' ? [transport] : [transport, ...posting];
    for (const type of ALL) if (transport && !wanted.includes(type)) this.#client.disable(type);
    for (const name of extensions) {
      this.#client.addExtension(adapted(new Faye[`${name}Extension`]()));
    }
    this.#client.addExtension({
      outgoing: (message, pass) => {
        if (message.channel === '/meta/connect') this.#connectionType = message.connectionType;
        pass(message);
      },
      incoming: (message, pass) => {
        this.#watch(message);
        pass(message);
      },
    });
  }

  #watch(message) {
    if (message.advice) this.#advice = message.advice;
    if (!message.successful) return;
    if (message.channel === '/meta/subscribe') this.subscribed += 1;
    if (message.channel === '/meta/handshake') {
      this.handshakes += 1;
      this.#handshakeReply = message;
    }
  }

  async start() {
    if (!(await this.#websocketWorks())) this.#client.disable('websocket');
    await new Promise((resolve) => this.#client.connect(resolve));
  }

  async subscribe(channel) {
    const subscription = this.#client.subscribe(channel).withChannel((name, data) => {
      this.received.push([name, data]);
    });
    this.#subscriptions.set(channel, subscription);
    await subscription;
  }

  // faye does not tell when the server has answered.
  unsubscribe(channel) {
    this.#subscriptions.get(channel).cancel();
    this.#subscriptions.delete(channel);
  }

  async publish(channel, data) {
    await this.#client.publish(channel, data);
  }

  // What is published in one turn of the event loop goes out together.
  batch(messages) {
    return Promise.all(messages.map(([channel, data]) => this.publish(channel, data)));
  }

  async disconnect() {
    await this.#client.disconnect();
  }

  status() {
    const { received, handshakes, subscribed } = this;
    const transport = this.#connectionType;
    return {
      received,
      handshakes,
      subscribed,
      transport,
      advice: this.#advice,
      reply: this.#handshakeReply,
    };
  }
}

// An extension for cometd, as faye wants it.
function adapted(extension) {
  return {
    outgoing: (message, pass) => pass(extension.outgoing(message)),
    incoming: (message, pass) => pass(extension.incoming(message)),
  };
}
