// A world under the test's control: time moves when it is told to, and requests
// lie open until the test answers them.
import { Session } from '../session.js';

export class World {
  type = 'long-polling';
  now = 0;
  sent = []; // every request, in order
  states = [];
  errors = [];
  dice = 1; // random() at its limit: back-off is exactly its ceiling
  #timers = new Set();

  static session(options) {
    const world = new World();
    world.session = new Session(world, options);
    return world;
  }

  fit(messages) {
    return messages.length;
  }

  send(messages, ms, done) {
    const request = { messages, ms, at: this.now, open: true };
    const close = () => request.open && !(request.open = false);
    const timer = this.after(ms, () => request.fail(new Error('no answer in time')));
    request.reply = (...replies) => close() && (timer(), done(null, replies));
    request.fail = (error = new Error('network')) => close() && (timer(), done(error));
    this.sent.push(request);
    return () => {
      timer();
      request.aborted = close();
    };
  }

  after(ms, run) {
    const timer = { at: this.now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  random() {
    return this.dice;
  }

  emit(name, ...args) {
    if (name === 'state') this.states.push(args[0]);
    else this.errors.push(args[0]);
  }

  // Lets time pass, running what falls due in its order.
  pass(ms) {
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  get open() {
    return this.sent.filter((request) => request.open);
  }

  get last() {
    return this.sent.at(-1);
  }

  // The newest request that holds this kind of message, and the message.
  find(channel) {
    const request = this.sent.findLast((r) => r.messages.some((m) => m.channel === channel));
    return { request, message: request?.messages.find((m) => m.channel === channel) };
  }

  // Answers the newest open request with such a message; fields join each reply.
  answer(channel, fields = {}, ...events) {
    const request = this.open.findLast((r) => r.messages.some((m) => m.channel === channel));
    if (!request) throw new Error(`no open request with ${channel}`);
    const replies = request.messages.map((m) => ({
      channel: m.channel,
      id: m.id,
      successful: true,
      ...(m.subscription && { subscription: m.subscription }),
      ...fields,
    }));
    request.reply(...events, ...replies);
  }

  handshake(fields = {}) {
    this.answer('/meta/handshake', {
      clientId: `client${this.sent.length}`,
      supportedConnectionTypes: ['long-polling', 'callback-polling'],
      advice: NORMAL,
      ...fields,
    });
    this.pass(0);
  }

  connect(fields = {}, ...events) {
    this.answer('/meta/connect', fields, ...events);
    this.pass(0);
  }

  // A session whose first connect has been answered and whose second is held.
  up() {
    this.session.start();
    this.handshake();
    this.connect();
  }
}

export const NORMAL = { reconnect: 'retry', interval: 0, timeout: 30000 };

// Promises settle in microtasks; this waits until they have.
export const settled = () => new Promise((resolve) => setImmediate(resolve));
