// Ten thousand messages to unmodified clients, over networks that fail in every way.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { delayingProxy, faultyProxy } from '../faults.js';
import { Broker, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const COUNT = 10_000;
const BURST = 10; // messages published at once
const AHEAD = 60; // how many may be published that have not arrived yet
const SEEDS = process.env.WEFT_LONG ? range(10, 1) : [1];
const BOUND = { timeout: 240_000 };

// Short, so that a client gives up soon.
const CONFIG = `
[sessions]
timeout = "1s"

[store]
kind = "memory"
`;

const cometd = {
  library: 'cometd',
  configuration: { backoffIncrement: 20, maxBackoff: 100, maxNetworkDelay: 500 },
};
const CLIENTS = {
  // What it says after a failure fits a lost reply as well as a lost request, so it may get again
  // what it has.
  'cometd: P2, L12': { ...cometd, isVague: true },
  'cometd with ack: P2, L12, X1': { ...cometd, extensions: ['Ack'] },
  'faye: P2, L12': { library: 'faye', retry: 0.05 },
};

const SPARES_REPLY = ['half-close to the broker', 'late request'];

// Every how many replies they happen: a few of them cost the client a second and more each time.
const FAULTS = {
  'cut before the reply': 10,
  'cut after the head': 20,
  'cut in mid-reply': 20,
  stall: 20,
  'half-close to the broker': 20,
  'half-close to the client': 20,
  reset: 10,
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
async function flow(t, broker, proxy, { library, ...options }) {
  const peer = await NodePeer.start(t, library, proxy.url, { ...options, transport: 'long-polling' });
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
  const { marked, injected, overlaps, givenUp } = proxy;
  const lost = COUNT - got.distinct;
  const { skips, repeats, returns } = got;
  const result = { lost, skips, repeats, returns, resent, seconds };
  t.diagnostic(JSON.stringify({ marked, injected, overlaps, givenUp, ...result }));
  return { ...result, handshakes, reply };
}

function assertNothingLost({ lost, skips, handshakes }) {
  assert.deepEqual({ lost, skips }, { lost: 0, skips: [] });
  assert.equal(handshakes, 1, 'all in one session');
}

// Whether the faults that this test is about did happen: returns how many, and how many replies
// they cost.
function faultsOf({ marked, injected }, every) {
  const counts = Object.entries(injected);
  const sum = (list) => list.reduce((total, [, count]) => total + count, 0);
  assert.ok(marked >= 100, `${marked} replies with messages`);
  assert.ok(sum(counts) >= Math.floor(marked / (2 * every - 1)));
  assert.ok(counts.every(([, count]) => count > 0), 'each of them');
  return { all: sum(counts), costly: sum(counts.filter(([name]) => !SPARES_REPLY.includes(name))) };
}

async function throughFaults(t, client, faults, every, seed) {
  const broker = await Broker.start(t, { config: CONFIG });
  const proxy = await faultyProxy(t, broker, { faults, every, seed, marker: MARKER });
  const { isVague, ...options } = client;
  const result = await flow(t, broker, proxy, options);
  assertNothingLost(result);
  const { all, costly } = faultsOf(proxy, every);
  // Of a reply that did not arrive the client has nothing, so nothing of it is repeated.
  const mayRepeat = isVague ? all - costly + proxy.givenUp : 0;
  assert.ok(result.returns <= mayRepeat, `${result.returns} times, not ${mayRepeat}`);
  assert.ok(result.resent >= costly, 'each of those replies carried something');
  assertAck(result, client);
}

function assertAck({ reply }, { extensions = [] }) {
  if (extensions.includes('Ack')) assert.equal(reply.ext?.ack, true, 'the handshake promised it');
}

describe('ten thousand messages', { concurrency: 8 }, () => {
  const cases = Object.entries(CLIENTS).flatMap(([name, client]) =>
    SEEDS.map((seed) => [SEEDS.length > 1 ? `${name}: seed ${seed}` : name, client, seed]),
  );

  for (const [name, client, seed] of cases) {
    for (const [fault, every] of Object.entries(FAULTS)) {
      test(`${name}: ${fault}`, BOUND, async (t) => {
        await throughFaults(t, client, [fault], every, seed);
      });
    }

    test(`${name}: all of these in turn`, BOUND, async (t) => {
      await throughFaults(t, client, Object.keys(FAULTS), 12, seed);
    });

    test(`${name}: R24: delays only make replies larger`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: CONFIG });
      const proxy = await delayingProxy(t, broker, { most: 40, seed, marker: MARKER });
      const { isVague, ...options } = client;
      const result = await flow(t, broker, proxy, options);
      assertNothingLost(result);
      assert.equal(result.repeats, 0);
      assert.ok(proxy.overlaps >= 20, `${proxy.overlaps} times`);
      assert.ok(proxy.marked < COUNT / 20, `${proxy.marked} replies with messages`);
      assertAck(result, client);
    });
  }

  test('a client that gives no signal loses what these tests look for', BOUND, async (t) => {
    const broker = await Broker.start(t, { config: CONFIG });
    const faults = ['cut in mid-reply'];
    const proxy = await faultyProxy(t, broker, { faults, every: 20, seed: 1, marker: MARKER });
    const { lost, skips } = await flow(t, broker, proxy, { library: 'silent' });
    const { all } = faultsOf(proxy, 20);
    assert.ok(lost >= all && skips.length > 0);
  });
});
