// A client that gives no signal: after a failure it connects as if nothing had happened. What a
// lost reply carried is lost to it, and tests that look for losses must see that.
import { Driver } from './driver.js';

export class SilentDriver extends Driver {
  handshakes = 0;
  #url;
  #clientId;
  #ids = 0;

  constructor(_, url) {
    super();
    this.#url = url;
  }

  async start() {
    const connectionType = 'long-polling';
    const shape = { version: '1.0', supportedConnectionTypes: [connectionType] };
    const [reply] = await this.#ask('/meta/handshake', shape);
    this.handshakes += 1;
    this.#clientId = reply.clientId;
    this.#poll({ connectionType });
  }

  async subscribe(subscription) {
    await this.#ask('/meta/subscribe', { subscription });
  }

  publish(channel, data) {
    return this.#ask(channel, { data });
  }

  status() {
    const { received, handshakes } = this;
    return { received, handshakes };
  }

  async #poll(shape) {
    for (;;) {
      const replies = await this.#ask('/meta/connect', shape).catch(() => []);
      for (const { channel, data } of replies) {
        if (data !== undefined) this.received.push([channel, data]);
      }
    }
  }

  async #ask(channel, fields) {
    this.#ids += 1;
    const message = { channel, id: `${this.#ids}`, clientId: this.#clientId, ...fields };
    const response = await fetch(this.#url, { method: 'POST', body: JSON.stringify([message]) });
    return response.json();
  }
}
