// Drives our own client under the interface that all drivers here share.
export class WeftDriver {
  received = [];
  handshakes = 0;
  subscribed = 0;
  #client;
  #transport;
  #subscriptions = new Map();

  constructor({ Client }, url, { transport = 'long-polling', crossOrigin = false } = {}) {
    this.#transport = transport;
    this.#client = new Client(url, {
      transport,
      base: 200,
      cap: 1000,
      credentials: crossOrigin ? 'include' : 'same-origin',
    });
    this.#client.on('state', (state) => {
      if (state === 'connecting') this.handshakes += 1;
    });
  }

  start() {
    return new Promise((resolve) => {
      const off = this.#client.on('state', (state) => {
        if (state !== 'connected') return;
        off();
        resolve();
      });
      this.#client.connect();
    });
  }

  async subscribe(channel) {
    const subscription = await this.#client.subscribe(channel, (message) => {
      this.received.push([message.channel, message.data]);
    });
    this.subscribed += 1;
    this.#subscriptions.set(channel, subscription);
  }

  async unsubscribe(channel) {
    await this.#subscriptions.get(channel).cancel();
    this.#subscriptions.delete(channel);
  }

  publish(channel, data) {
    return this.#client.publish(channel, data);
  }

  batch(messages) {
    return Promise.all(messages.map(([channel, data]) => this.publish(channel, data)));
  }

  disconnect() {
    return this.#client.disconnect();
  }

  status() {
    const { received, handshakes, subscribed } = this;
    const { state, multipleClients } = this.#client;
    const transport = this.#transport;
    return { received, handshakes, subscribed, transport, state, multipleClients };
  }
}
