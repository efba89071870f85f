// A network between one client and the broker: it can be cut, and sees by which transport things go.
import { connect, createServer } from 'node:net';

// How a request asks, told by its head.
const KINDS = [
  ['websocket', (head) => /^upgrade: *websocket/im.test(head)],
  ['eventsource', (head) => /^accept: *text\/event-stream/im.test(head)],
  ['callback-polling', (head) => head.startsWith('GET ') && head.includes('jsonp=')],
  ['long-polling', (head) => head.startsWith('POST ')],
];

// What a cut does:
//   closed   all connections break, and none comes about
//   dead     nothing passes, and nobody is told; what is connected then stays so, and mute
//   held     nothing passes, and all of it does afterwards: a cable that was out for a while
export const CUTS = ['closed', 'dead', 'held'];

export class Network {
  // How many requests were made by each transport, and how many pieces with events came by it.
  requests = {};
  events = {};
  #broker;
  #server;
  #links = new Set();
  #cut;

  static async start(t, broker) {
    const network = new Network();
    network.#broker = broker;
    network.#server = createServer({ noDelay: true }, (client) => network.#link(client));
    await new Promise((resolve) => network.#server.listen(0, '127.0.0.1', resolve));
    // Pages still ask for it when the server is closed.
    network.origin = `http://127.0.0.1:${network.#server.address().port}`;
    t.after(() => {
      network.#server.close();
      for (const link of network.#links) link.close();
    });
    return network;
  }

  get url() {
    return `${this.origin}/bayeux`;
  }

  // Counts from here on.
  watch() {
    this.requests = {};
    this.events = {};
  }

  cut(how) {
    this.#cut = how;
    for (const link of this.#links) {
      if (how === 'closed') link.close();
      else link.stop();
    }
  }

  mend() {
    const how = this.#cut;
    this.#cut = undefined;
    if (how !== 'held') return;
    for (const link of this.#links) link.resume();
  }

  #link(client) {
    if (this.#cut === 'closed') {
      client.destroy();
      return;
    }
    const upstream = connect({ port: this.#broker.address.split(':')[1], host: '127.0.0.1', noDelay: true });
    const link = new Link(client, upstream, {
      asks: (head) => {
        const kind = KINDS.find(([, is]) => is(head))?.[0];
        if (kind) this.requests[kind] = (this.requests[kind] ?? 0) + 1;
        return kind;
      },
      brings: (kind) => {
        this.events[kind] = (this.events[kind] ?? 0) + 1;
      },
      ends: () => this.#links.delete(link),
    });
    this.#links.add(link);
    if (this.#cut) link.stop();
  }
}

// A client's connection, and the one to the broker that belongs to it.
class Link {
  #client;
  #upstream;
  #watcher;
  #kind;
  #waiting; // what has not passed, while nothing does

  constructor(client, upstream, watcher) {
    this.#client = client;
    this.#upstream = upstream;
    this.#watcher = watcher;
    client.on('data', (chunk) => this.#pass(() => this.#ask(chunk)));
    upstream.on('data', (chunk) => this.#pass(() => this.#answer(chunk)));
    for (const socket of [client, upstream]) {
      socket.on('error', () => {}).on('close', () => this.#pass(() => this.close()));
    }
  }

  close() {
    this.#client.destroy();
    this.#upstream.destroy();
    this.#watcher.ends();
  }

  stop() {
    this.#waiting ??= [];
  }

  resume() {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const step of waiting) step();
  }

  #pass(step) {
    if (this.#waiting) this.#waiting.push(step);
    else step();
  }

  // These clients begin each request with a piece of its own.
  #ask(chunk) {
    const head = /^(GET|POST|OPTIONS) \S+ HTTP\/1\.1\r\n[^]*?\r\n\r\n/.exec(chunk.toString('latin1'))?.[0];
    if (head) this.#kind = this.#watcher.asks(head) ?? this.#kind;
    this.#upstream.write(chunk);
  }

  #answer(chunk) {
    if (chunk.includes('"data":')) this.#watcher.brings(this.#kind);
    this.#client.write(chunk);
  }
}
