// Stock cometd.js with the small extension in clients/js, which remembers positions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { breakingProxy } from '../proxy.js';

const MESSAGES = 1_000;
const REPLAY = { transport: 'long-polling', extensions: ['Replay'] };

// As a careful publisher does: durably, in order, again under the same key until it is answered.
async function publish(broker, channel, n) {
  const request = {
    method: 'POST',
    body: JSON.stringify(n),
    headers: { 'Idempotency-Key': `${channel}-${n}` },
  };
  await eventually(`${n} is published`, async () => {
    const response = await fetch(`${broker.origin}/publish${channel}?durable=1`, request).catch(() => {});
    return response?.ok;
  });
}

for (const [how, restart] of [
  ['a clean restart', (broker) => broker.stop()],
  ['kill -9', (broker) => broker.kill()],
]) {
  test(`X2, P3: cometd with our extension misses none of 1,000 messages over ${how} and a cut of five seconds`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const proxy = await breakingProxy(t, broker);
    const peer = await NodePeer.start(t, 'cometd', proxy.url, REPLAY);
    await peer.subscribe('/replay');
    const disturb = {
      300: async () => {
        await restart(broker);
        await broker.restart();
      },
      600: () => {
        proxy.down();
        setTimeout(() => proxy.up(), 5_000);
      },
    };
    for (const n of range(MESSAGES)) {
      if (n === 300) await peer.receives(1);
      const disturbed = disturb[n]?.();
      await publish(broker, '/replay', n);
      await disturbed;
    }
    const { received, handshakes } = await peer.receives(MESSAGES, 30_000);
    // A reply that broke on its way may come twice; none is missing, and no new one comes early.
    const first = [...new Set(received.map(([, n]) => n))];
    assert.deepEqual(first, range(MESSAGES));
    assert.ok(received.length <= MESSAGES + 100, `${received.length} messages`);
    assert.equal(handshakes, 2, 'the restart ended the session, the cut did not');
  });
}

test('X2: what is missed while the session is gone comes back over patterns, too', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: '[sessions]\nmax_interval = "1s"\n' });
  const proxy = await breakingProxy(t, broker);
  const peer = await NodePeer.start(t, 'cometd', proxy.url, REPLAY);
  await peer.subscribe('/p/**');
  for (const n of range(5)) await publish(broker, '/p/a', n);
  await peer.receives(5);
  proxy.down();
  await eventually('the session has expired', async () => (await broker.metric('weft_sessions')) === 0);
  for (const n of range(5, 5)) await publish(broker, '/p/a', n);
  await publish(broker, '/p/new', 0);
  proxy.up();
  const status = await peer.until('all', ({ received }) => received.some(([channel]) => channel === '/p/new'));
  assert.deepEqual(dataOf(await peer.until('ten', (now) => dataOf(now, '/p/a').length >= 10), '/p/a'), range(10));
  assert.equal(dataOf(status, '/p/new').length, 1);
  assert.equal(status.handshakes, 2);
});

test('X2: a replay over a pattern that breaks off half way misses nothing the next time', BOUND, async (t) => {
  const config = '[sessions]\nmax_interval = "1s"\n[limits]\nresponse_bytes = "2KiB"\n';
  const broker = await Broker.start(t, { config });
  const proxy = await breakingProxy(t, broker);
  const peer = await NodePeer.start(t, 'cometd', proxy.url, REPLAY);
  await peer.subscribe('/p/**');
  await publish(broker, '/p/a', 0);
  await peer.receives(1);
  const expired = () => eventually('the session has expired', async () => (await broker.metric('weft_sessions')) === 0);
  proxy.down();
  await expired();
  // The one that is new to the client comes first, and is read last.
  await publish(broker, '/p/z', 0);
  // Longer than what a pattern starts earlier.
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  for (const n of range(100, 1)) await publish(broker, '/p/a', n);
  Object.assign(proxy, { marker: '"/p/z"', staysDown: true });
  proxy.up();
  await eventually('the replay breaks off', () => proxy.cuts === 1);
  const before = await peer.status();
  assert.ok(dataOf(before, '/p/a').length > 1 && dataOf(before, '/p/z').length === 0);
  await expired();
  proxy.staysDown = false;
  proxy.up();
  const status = await peer.until('all', (now) => new Set(now.received.map(String)).size >= 102, 30_000);
  assert.deepEqual([...new Set(dataOf(status, '/p/a'))], range(101));
  assert.deepEqual([...new Set(dataOf(status, '/p/z'))], [0]);
});
