// Ten thousand messages to unmodified clients, over networks that fail in every way.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { delayingProxy, faultyProxy } from '../faults.js';
import { Broker, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const COUNT = 10_000;
const BURST = 10; // messages published at once
const AHEAD = 60; // how many may be published that have not arrived yet
const SEEDS = process.env.WEFT_LONG ? range(5, 1) : [1];
const BOUND = { timeout: 240_000 };

// Short, so that a client gives up soon.
const CONFIG = `
[sessions]
timeout = "500ms"

[store]
kind = "memory"
`;

const cometd = {
  library: 'cometd',
  configuration: { backoffIncrement: 20, maxBackoff: 100, maxNetworkDelay: 1000 },
};

// About every how many replies they happen. Some cost the client more than a second each time.
const FAULTS = {
  'cut before the reply': 10,
  'cut after the head': 20,
  'cut in mid-reply': 20,
  stall: 20,
  'half-close to the broker': 20,
  'half-close to the client': 20,
  reset: 10,
};
// Of these the client sees the reply, and only what it sends next goes wrong.
const SPARES_REPLY = ['half-close to the broker', 'late request'];
const HOLDS_REPLY = [...SPARES_REPLY, 'stall'];

const CLIENTS = {
  cometd: { rules: 'P2, L12', ...cometd, faults: FAULTS },
  'cometd with ack': {
    rules: 'P2, L12, X1',
    ...cometd,
    extensions: ['Ack'],
    // Others may lose something when the network brings their requests in another order.
    faults: { ...FAULTS, 'late request': 20 },
  },
  faye: { rules: 'P2, L12', library: 'faye', retry: 0.05, faults: FAULTS },
};

const MARKER = '"channel":"/flow"';

async function publish(broker, numbers) {
  const lines = numbers.map((data) => `${JSON.stringify({ channel: '/flow', data })}\n`);
  const response = await fetch(`${broker.origin}/publish`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-ndjson' },
    body: lines.join(''),
  });
  const outcomes = (await response.text()).trim().split('\n').map(JSON.parse);
  assert.ok(outcomes.length === numbers.length && outcomes.every(({ position }) => position));
}

// All messages, from the broker through the proxy to the client; returns what became of them.
async function flow(t, broker, proxy, { library, ...client }) {
  const options = { ...client, transport: 'long-polling' };
  const peer = await NodePeer.start(t, library, proxy.url, options);
  await peer.count();
  await peer.subscribe('/flow');
  // Its first connect is not covered, so it must be over.
  await eventually('it waits', async () => (await broker.metric('weft_held_connects')) === 1);
  const started = Date.now();
  for (let from = 0; from < COUNT; from += BURST) {
    // It has requests of its own on the way as well, which may fail.
    if (from % (10 * BURST) === 0) peer.publish('/elsewhere', from).catch(() => {});
    await publish(broker, range(BURST, from));
    const { next } = await peer.reaches(from - AHEAD);
    assert.ok(next >= from - AHEAD, `it got no further than ${next} of ${from}`);
  }
  const got = await peer.reaches(COUNT);
  const seconds = (Date.now() - started) / 1000;
  const resent = await broker.metric('weft_messages_resent_total');
  const { handshakes, reply } = await peer.status();
  const { skips, repeats, returns } = got;
  const result = { lost: COUNT - got.distinct, skips, repeats, returns, resent };
  t.diagnostic(JSON.stringify({ ...proxy.counts, ...result, seconds }));
  return { ...result, handshakes, reply };
}

function assertNothingLost({ lost, skips, handshakes }) {
  assert.deepEqual({ lost, skips }, { lost: 0, skips: [] });
  assert.equal(handshakes, 1, 'all in one session');
}

// Whether the faults that this test is about did happen: returns how many, and how many replies
// they cost.
function faultsOf({ marked, injected, waitedInVain, overtaken }, every) {
  const count = (names) => names.reduce((sum, name) => sum + (injected[name] ?? 0), 0);
  const names = Object.keys(injected);
  const all = count(names);
  assert.ok(marked >= 100, `${marked} replies with messages`);
  assert.ok(all >= Math.floor(marked / (2 * every - 1)), `${all} faults`);
  assert.ok(Object.values(injected).every((each) => each > 0), 'each of them');
  // When one comes soon after another, nothing may be left for it to spoil.
  assert.ok(waitedInVain >= count(HOLDS_REPLY) / 2, `${waitedInVain} waited in vain`);
  assert.ok(overtaken >= count(['late request']) / 2, `${overtaken} overtaken`);
  return { all, costly: count(names.filter((name) => !SPARES_REPLY.includes(name))) };
}

async function throughFaults(t, client, faults, every, seed) {
  const broker = await Broker.start(t, { config: CONFIG });
  const proxy = await faultyProxy(t, broker, { faults, every, seed, marker: MARKER });
  const result = await flow(t, broker, proxy, client);
  assertNothingLost(result);
  const { all, costly } = faultsOf(proxy.counts, every);
  // Of a reply that did not arrive the client has nothing, so nothing of it is repeated.
  // After a break at another moment nobody but a client with ack can tell what it has.
  const mayRepeat = hasAck(client) ? 0 : all - costly + proxy.counts.givenUp;
  assert.ok(result.returns <= mayRepeat, `${result.returns} times, not ${mayRepeat}`);
  assert.ok(result.resent >= costly, 'each of those replies carried something');
  assertAck(result, client);
}

const hasAck = ({ extensions = [] }) => extensions.includes('Ack');

function assertAck({ reply }, client) {
  if (hasAck(client)) assert.equal(reply.ext?.ack, true, 'the handshake promised it');
}

describe('ten thousand messages', { concurrency: 8 }, () => {
  const cases = Object.entries(CLIENTS).flatMap(([name, client]) =>
    SEEDS.map((seed) => [`${name}: ${client.rules}${SEEDS[1] ? `: seed ${seed}` : ''}`, client, seed]),
  );

  for (const [title, client, seed] of cases) {
    for (const [fault, every] of Object.entries(client.faults)) {
      test(`${title}: ${fault}`, BOUND, async (t) => {
        await throughFaults(t, client, [fault], every, seed);
      });
    }

    test(`${title}: all of these in turn`, BOUND, async (t) => {
      await throughFaults(t, client, Object.keys(client.faults), 12, seed);
    });

    test(`${title}: R24: delays only make replies larger`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: CONFIG });
      const proxy = await delayingProxy(t, broker, { most: 40, seed, marker: MARKER });
      const result = await flow(t, broker, proxy, client);
      assertNothingLost(result);
      assert.equal(result.repeats, 0);
      const { marked, overlaps } = proxy.counts;
      assert.ok(overlaps >= 20, `${overlaps} times`);
      assert.ok(marked < COUNT / 20, `${marked} replies with messages`);
      assertAck(result, client);
    });
  }

  test('a client that gives no signal loses what these tests look for', BOUND, async (t) => {
    const broker = await Broker.start(t, { config: CONFIG });
    const faults = ['cut in mid-reply'];
    const proxy = await faultyProxy(t, broker, { faults, every: 20, seed: 1, marker: MARKER });
    const { lost, skips } = await flow(t, broker, proxy, { library: 'silent' });
    const { all } = faultsOf(proxy.counts, 20);
    assert.ok(lost >= all && skips.length > 0);
  });
});
