// Every way that a stock client has to the broker: who, where, by what.
import { Broker, eventually } from '../harness.js';
import { Network } from '../network.js';
import { NodePeer } from '../peers.js';
import { newContext, PagePeer } from '../browser/pages.js';

const ACK = { extensions: ['Ack'] };
const ACROSS = { place: 'cross-origin' };

export const NODE = [
  { library: 'cometd', transport: 'long-polling' },
  { library: 'cometd', transport: 'websocket' },
  { library: 'cometd', transport: 'websocket', ...ACK },
  { library: 'faye', transport: 'long-polling' },
  { library: 'faye', transport: 'websocket' },
];

export const CHROMIUM = [
  { library: 'cometd', transport: 'long-polling' },
  { library: 'cometd', transport: 'callback-polling' },
  { library: 'cometd', transport: 'websocket' },
  { library: 'cometd', transport: 'websocket', ...ACK },
  { library: 'cometd', transport: 'websocket', ...ACROSS },
  { library: 'faye', transport: 'long-polling' },
  { library: 'faye', transport: 'callback-polling' },
  { library: 'faye', transport: 'long-polling', ...ACROSS },
  { library: 'faye', transport: 'websocket' },
  { library: 'faye', transport: 'websocket', ...ACROSS },
  { library: 'faye', transport: 'eventsource' },
].map((row) => ({ ...row, place: row.place ?? 'same-origin' }));

export const ROWS = [...NODE, ...CHROMIUM];

export function title({ library, transport, place, extensions = [] }) {
  const where = place ? `Chromium, ${place}` : 'node';
  return `${[library, ...extensions].join(' with ')}, ${where}, ${transport}`;
}

// What a client says in its connects that it speaks.
export function spoken({ library, transport, place }) {
  const across = library === 'faye' && place === 'cross-origin' && transport === 'long-polling';
  return across ? 'cross-origin-long-polling' : transport;
}

export const hasAck = ({ extensions = [] }) => extensions.includes('Ack');

// How those configure themselves who do not want to wait long. Without a connectTimeout, cometd waits
// for ever for a socket that it opens while the network is dead.
const QUICK = { backoffIncrement: 200, maxBackoff: 1000, maxNetworkDelay: 1500, connectTimeout: 5000 };
const SETTINGS = {
  cometd: { configuration: QUICK },
  faye: { retry: 0.5 },
};

// faye's second connect may leave before its stream is open, and is then held as a poll.
const CONFIG = '[sessions]\ntimeout = "5s"\n';

// One client, subscribed to a channel, and all that is between it and the broker.
export class Stage {
  static async open(t, world, row, { config = CONFIG, extensions = [] } = {}) {
    const stage = new Stage();
    stage.row = row;
    stage.broker = await Broker.start(t, { config });
    stage.network = await Network.start(t, stage.broker);
    const both = [...(row.extensions ?? []), ...extensions];
    const { library } = row;
    const options = { ...SETTINGS[library], ...row, extensions: both };
    stage.peer = row.place
      ? await PagePeer.start(await newContext(t, world), world, stage.network, { library, ...options })
      : await NodePeer.start(t, library, stage.network.url, options);
    await stage.peer.subscribe('/table');
    await stage.settles();
    return stage;
  }

  // Until it speaks as it should, and waits for what comes.
  async settles() {
    await this.peer.until(
      `it speaks ${this.row.transport}`,
      ({ transport, subscribed }) => subscribed > 0 && transport === spoken(this.row),
    );
    // Beside a stream connects are answered at once.
    const ready =
      this.row.transport === 'eventsource'
        ? { streams: 1, subscriptions: 1 }
        : { held_connects: 1, subscriptions: 1 };
    await eventually('it waits for what comes', () => this.is(ready), 30_000);
  }

  async is(metrics) {
    for (const [name, value] of Object.entries(metrics)) {
      if ((await this.broker.metric(`weft_${name}`)) !== value) return false;
    }
    return true;
  }

  // As a server does: durably and in order.
  async publish(numbers) {
    const lines = numbers.map((data) => `${JSON.stringify({ channel: '/table', data })}\n`);
    const response = await fetch(`${this.broker.origin}/publish?durable=1`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson' },
      body: lines.join(''),
    });
    const outcomes = (await response.text()).trim().split('\n').map(JSON.parse);
    if (!outcomes.every(({ position }) => position)) throw new Error(JSON.stringify(outcomes));
  }
}
