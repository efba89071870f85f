// Proxies between one client and the broker which spoil the way of what the client is sent. They
// know just enough of HTTP/1.1 to do so at the place they want; a seed makes their choices.
import { connect, createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

// What may happen to a reply. `part` is its head and some of its body: at least one byte, not all.
const FAULTS = {
  'cut before the reply': (link) => link.close(),
  'cut after the head': (link, { head }) => link.client.end(head, () => link.close()),
  'cut in mid-reply': (link, { part }) => link.client.end(part, () => link.close()),
  // Nothing is closed until the client gives up.
  stall(link, { part, chance }) {
    link.client.write(part.subarray(0, chance(part.length)));
    link.mute = true;
    link.holdsClient = true;
  },
  // The reply arrives, and then the broker hears no more: with the next request on its way or
  // without it. The client is told nothing.
  'half-close to the broker'(link, { reply, chance }) {
    link.client.write(reply);
    link.holdsClient = true;
    if (chance(2) === 0) link.upstream.end();
    else link.endsAfterRequest = true;
  },
  // The broker is told nothing.
  'half-close to the client'(link, { part }) {
    link.client.end(part);
    link.holdsUpstream = true;
  },
  // A machine that is told of a reset drops what nobody has read yet; so the client may read first.
  async reset(link, { part }) {
    link.client.write(part);
    await wait(2);
    link.client.resetAndDestroy();
    link.upstream.resetAndDestroy();
  },
  // The reply arrives, and the next connect reaches the broker only after the client has given it
  // up and its successor has overtaken it.
  'late request'(link, { reply, proxy }) {
    link.client.write(reply);
    proxy.delaysConnect = true;
  },
};

// Breaks about every `every`th reply that contains `marker`: after one that was, one of the next
// 2 * every - 1. The `faults` take turns.
export async function faultyProxy(t, broker, { faults, every, seed, marker }) {
  const chance = chanceBy(seed);
  let untilNext = 1 + chance(2 * every - 1);
  const counts = {
    marked: 0, // replies with the marker
    injected: Object.fromEntries(faults.map((name) => [name, 0])),
    waitedInVain: 0, // requests whose reply a fault held back until the client gave up
    givenUp: 0, // others that the client gave up
    overtaken: 0, // requests that came late
  };
  const proxy = {
    counts,
    chance,
    delaysConnect: false, // the next one
    late: [], // connections whose connect is to come late
    faultFor(reply) {
      if (!reply.includes(marker)) return undefined;
      counts.marked += 1;
      untilNext -= 1;
      if (untilNext > 0) return undefined;
      untilNext = 1 + chance(2 * every - 1);
      const turns = Object.values(counts.injected).reduce((sum, count) => sum + count);
      const name = faults[turns % faults.length];
      counts.injected[name] += 1;
      return FAULTS[name];
    },
  };
  proxy.url = await relay(t, broker, (client, upstream) => new Link(proxy, client, upstream));
  return proxy;
}

// Each chunk, either way, goes in two pieces, each of them late by less than `most` ms. The order
// within a connection stays; that between connections does not.
export async function delayingProxy(t, broker, { most, seed, marker }) {
  const chance = chanceBy(seed);
  const delayed = new Map(); // how many pieces of which connection
  const counts = {
    marked: 0,
    overlaps: 0, // pieces that came while one of another connection was delayed
  };
  const delay = async (link) => {
    const own = delayed.get(link) ?? 0;
    if (delayed.size > (own > 0 ? 1 : 0)) counts.overlaps += 1;
    delayed.set(link, own + 1);
    await wait(chance(most));
    const rest = delayed.get(link) - 1;
    if (rest > 0) delayed.set(link, rest);
    else delayed.delete(link);
  };
  const pass = async (link, from, to) => {
    try {
      for await (const chunk of from) {
        if (chunk.includes(marker)) counts.marked += 1;
        const cut = chance(chunk.length);
        for (const piece of [chunk.subarray(0, cut), chunk.subarray(cut)]) {
          await delay(link);
          to.write(piece);
        }
      }
    } catch {
      // It was broken off, which is passed on as an end.
    }
    to.end();
  };
  const url = await relay(t, broker, (client, upstream) => {
    pass(client, client, upstream);
    pass(client, upstream, client);
  });
  return { counts, url };
}

// Gives each connection of a client its own to the broker. Returns the URL to use.
async function relay(t, broker, join) {
  const port = broker.address.split(':')[1];
  const options = { allowHalfOpen: true, noDelay: true };
  const sockets = new Set();
  const server = createServer(options, (client) => {
    const upstream = connect({ ...options, port, host: '127.0.0.1' });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    join(client, upstream);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${server.address().port}/bayeux`;
}

// One connection of the client, and the one to the broker that belongs to it.
class Link {
  mute = false; // passes no replies on
  holdsClient = false; // does not tell the client that the broker closes
  holdsUpstream = false; // does not tell the broker that the client closes
  endsAfterRequest = false; // towards the broker
  late; // pieces of the request that is to come late
  #proxy;
  #rest = Buffer.alloc(0);
  #isAsked = false;
  #isBroken = false;

  constructor(proxy, client, upstream) {
    this.#proxy = proxy;
    this.client = client;
    this.upstream = upstream;
    client.on('data', (chunk) => this.#request(chunk));
    // None of these clients closes its sending side alone.
    client.on('end', () => client.destroySoon());
    client.on('close', () => this.#left());
    upstream.on('data', (chunk) => this.#replies(chunk));
    upstream.on('end', () => this.holdsClient || client.end());
    upstream.on('close', () => this.holdsClient || client.destroySoon());
  }

  close() {
    this.client.destroySoon();
    this.upstream.destroy();
  }

  #request(chunk) {
    this.#isAsked = true;
    const connects = chunk.includes('/meta/connect');
    if (connects && this.#proxy.delaysConnect && this.upstream.writable) {
      this.#proxy.delaysConnect = false;
      this.#isBroken = true;
      this.late = [];
    }
    if (this.late) {
      this.late.push(chunk);
      return;
    }
    if (this.upstream.writable) this.upstream.write(chunk);
    if (connects) {
      for (const link of this.#proxy.late.splice(0)) link.#comesLate();
    }
    if (!this.endsAfterRequest) return;
    this.endsAfterRequest = false;
    // Some requests come in several pieces.
    setTimeout(() => this.upstream.end(), 1 + this.#proxy.chance(4));
  }

  async #comesLate() {
    const { chance } = this.#proxy;
    this.#proxy.counts.overtaken += 1;
    await wait(chance(10));
    this.upstream.write(Buffer.concat(this.late));
    await wait(chance(10));
    this.upstream.end();
  }

  #left() {
    if (this.late || this.holdsClient) this.#proxy.counts.waitedInVain += 1;
    else if (this.#isAsked && !this.#isBroken) this.#proxy.counts.givenUp += 1;
    if (this.late) this.#proxy.late.push(this);
    else if (!this.holdsUpstream) this.upstream.destroy();
  }

  // All replies that such a client gets say how long they are.
  #replies(chunk) {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const start = this.#rest.indexOf('\r\n\r\n') + 4;
      if (start < 4) return;
      const head = this.#rest.subarray(0, start);
      const length = /^content-length: (\d+)/im.exec(head.toString());
      if (!length) throw new Error(`a reply without a length: ${head}`);
      const end = start + Number(length[1]);
      if (this.#rest.length < end) return;
      const reply = this.#rest.subarray(0, end);
      this.#rest = this.#rest.subarray(end);
      this.#reply(reply, head);
    }
  }

  #reply(reply, head) {
    // Nobody is there any more: whoever sends now is told so.
    if (this.late) this.upstream.resetAndDestroy();
    if (this.mute || !this.client.writable) return;
    this.#isAsked = false;
    const fault = !this.#isBroken && this.#proxy.faultFor(reply);
    if (!fault) {
      this.client.write(reply);
      return;
    }
    this.#isBroken = true;
    const { chance } = this.#proxy;
    const part = reply.subarray(0, head.length + 1 + chance(reply.length - head.length - 1));
    fault(this, { reply, head, part, chance, proxy: this.#proxy });
  }
}

// Whole numbers below a bound that look random and are the same for the same seed (mulberry32).
function chanceBy(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}
