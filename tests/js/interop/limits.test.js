// Unmodified clients at limits: whatever they are refused, they do as advised, and go on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const limited = (rates, limits = '') => `[limits]\nloopback = true\n${limits}\n[rates]\n${rates}\n`;

async function publish(broker, numbers) {
  for (const n of numbers) {
    const body = JSON.stringify(n);
    const { status } = await fetch(`${broker.origin}/publish/limits`, { method: 'POST', body });
    assert.equal(status, 200);
  }
}

for (const library of ['cometd', 'faye', 'weft']) {
  const transports = library === 'weft' ? ['long-polling'] : ['long-polling', 'websocket'];
  for (const transport of transports) {
    test(`${library}, ${transport}: R35, D3: past its rate a session is refused, waits, and loses nothing`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: limited('messages_per_session = "4/s burst 12"') });
      const peer = await NodePeer.start(t, library, broker.url, { transport });
      await peer.subscribe('/limits');
      const outcomes = await Promise.allSettled(range(20).map((n) => peer.publish('/flood', n)));
      const refused = outcomes.filter(({ status }) => status === 'rejected');
      assert.ok(refused.length >= 5 && refused.length < 20, `${refused.length} refused`);
      assert.match(String(refused[0].reason), /rate_limited|429/);
      // Its connects are refused like all else, and held again later.
      await publish(broker, range(20));
      const status = await peer.until('all of them', (s) => dataOf(s, '/limits').length >= 20, 30_000);
      assert.deepEqual(dataOf(status, '/limits'), range(20));
      assert.equal(await broker.metric('weft_handshakes_total'), 1, 'one session all along');
      await eventually('publishing again', () =>
        peer.publish('/limits', 'again').then(() => true, () => false));
      await peer.until('its own', (s) => dataOf(s, '/limits').includes('again'));
      await peer.disconnect();
    });
  }

  test(`${library}: R33, P1: whose polls find no room poll now and then, and hold again once there is`, BOUND, async (t) => {
    const broker = await Broker.start(t, { config: limited('', 'held_per_address = 1') });
    const long = { transport: 'long-polling' };
    const first = await NodePeer.start(t, library, broker.url, long);
    await first.subscribe('/limits');
    const held = async () => (await broker.metric('weft_held_connects')) === 1;
    await eventually('the first to hold', held);
    const second = await NodePeer.start(t, library, broker.url, long);
    await second.subscribe('/limits');
    const counted = async () => (await broker.metric('weft_limited_total')) >= 2;
    await eventually('two polls without room', counted);
    await publish(broker, range(10));
    for (const peer of [first, second]) {
      const status = await peer.until('all of them', (s) => dataOf(s, '/limits').length >= 10);
      assert.deepEqual(dataOf(status, '/limits'), range(10));
    }
    await first.disconnect();
    await eventually('the second to hold', held);
    await publish(broker, range(10, 10));
    const status = await second.until('the rest', (s) => dataOf(s, '/limits').length >= 20);
    assert.deepEqual(dataOf(status, '/limits'), range(20));
    assert.equal(await broker.metric('weft_handshakes_total'), 2);
  });

  // faye forgets what waits for its first handshake, if advice comes with a refusal of that: it shakes
  // hands twice over, and the second time for nobody.
  if (library === 'faye') continue;

  test(`${library}: R35, L13: who may not shake hands yet tries again and gets in`, BOUND, async (t) => {
    const broker = await Broker.start(t, { config: limited('handshakes = "30/m burst 1"') });
    const long = { transport: 'long-polling' };
    const peers = await Promise.all(range(3).map(() => NodePeer.start(t, library, broker.url, long)));
    await Promise.all(peers.map((peer) => peer.subscribe('/limits')));
    await publish(broker, [1]);
    for (const peer of peers) await peer.until('it', (s) => dataOf(s, '/limits').length === 1);
    assert.ok((await broker.metric('weft_limited_total')) >= 2);
    assert.equal(await broker.metric('weft_handshakes_total'), 3);
  });
}
