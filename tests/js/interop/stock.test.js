// Unmodified clients in node over long-polling: everything an application does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const LP = { transport: 'long-polling' };

for (const library of ['cometd', 'faye', 'weft']) {
  test(`${library}: A8, E6, E22, F5: handshake, subscribe (plain, *, **), publish, receive`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const peer = await NodePeer.start(t, library, broker.url, LP);
    for (const name of ['/a/b', '/s/*', '/d/**']) await peer.subscribe(name);
    for (const name of ['/a/b', '/a/c', '/s', '/s/x', '/s/x/y', '/d', '/d/x', '/d/x/y', '/end']) {
      await peer.publish(name, { on: name });
    }
    await peer.subscribe('/end');
    await peer.publish('/end', 0);
    const { received } = await peer.until('the end', (s) => dataOf(s, '/end').length > 0);
    // B6, B7: `*` is one segment, `**` one or more, and neither is none.
    assert.deepEqual(
      received.map(([channel]) => channel).sort(),
      ['/a/b', '/d/x', '/d/x/y', '/end', '/s/x'],
    );
    assert.deepEqual(dataOf({ received }, '/a/b'), [{ on: '/a/b' }]);
    await peer.disconnect();
    await broker.stop();
  });

  test(`${library}: F5: 400 messages one by one: none lost, repeated or reordered`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const [publisher, subscriber] = await Promise.all([
      NodePeer.start(t, library, broker.url, LP),
      NodePeer.start(t, library, broker.url, LP),
    ]);
    await subscriber.subscribe('/flow');
    for (const n of range(400)) await publisher.publish('/flow', n);
    const status = await subscriber.receives(400);
    assert.deepEqual(dataOf(status, '/flow'), range(400));
  });

  test(`${library}: R24, R25: batches arrive whole and in order`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const publisher = await NodePeer.start(t, library, broker.url, LP);
    const subscriber = await NodePeer.start(t, library, broker.url, LP);
    await subscriber.subscribe('/batch/*');
    // faye cuts a batch at 2 KiB and posts the pieces side by side, in no order.
    const size = library === 'faye' ? 15 : 300;
    for (let from = 0; from < 300; from += size) {
      await publisher.batch(range(size, from).map((n) => [`/batch/${n % 3}`, n]));
    }
    const status = await subscriber.receives(300);
    for (const rest of range(3)) {
      assert.deepEqual(dataOf(status, `/batch/${rest}`), range(300).filter((n) => n % 3 === rest));
    }
    assert.equal(status.received.length, 300);
  });

  test(`${library}: L17: a publisher that subscribes gets its own messages`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await peer.subscribe('/own');
    for (const n of range(20)) await peer.publish('/own', n);
    assert.deepEqual(dataOf(await peer.receives(20), '/own'), range(20));
  });

  test(`${library}: E24, E25: nothing arrives after unsubscribe`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await peer.subscribe('/gone');
    await peer.subscribe('/kept');
    await peer.publish('/gone', 1);
    await peer.receives(1);
    await peer.unsubscribe('/gone');
    const left = async () => (await broker.metric('weft_subscriptions')) === 1;
    await eventually('the broker has one subscription left', left);
    await peer.publish('/gone', 2);
    await peer.publish('/kept', 3);
    const { received } = await peer.receives(2);
    assert.deepEqual(received, [['/gone', 1], ['/kept', 3]]);
  });

  test(`${library}: E18: disconnect ends the session and releases its poll`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await peer.subscribe('/a');
    const held = async () => (await broker.metric('weft_held_connects')) === 1;
    await eventually('a connect is held', held);
    assert.equal(await broker.metric('weft_sessions'), 1);
    await peer.disconnect();
    // Well before the session could expire.
    const none = async () => (await broker.metric('weft_sessions')) === 0;
    await eventually('no session', none, 5000);
    assert.equal(await broker.metric('weft_held_connects'), 0);
    assert.equal(await broker.metric('weft_subscriptions'), 0);
  });

  test(`${library}: A11, D2: broker killed and restarted: it handshakes again and goes on`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await peer.subscribe('/live');
    await peer.publish('/live', 1);
    await peer.receives(1);
    const before = await peer.status();
    await broker.kill();
    await broker.restart();
    await peer.until('a new handshake', (s) => s.handshakes > before.handshakes, 30_000);
    const listens = async () => (await broker.metric('weft_subscriptions')) === 1;
    await eventually('it has subscribed again', listens, 30_000);
    for (const n of range(10, 2)) await peer.publish('/live', n);
    assert.deepEqual(dataOf(await peer.receives(11), '/live'), range(11, 1));
    assert.equal(await broker.metric('weft_sessions'), 1);
  });
}

test('cometd and faye understand each other, through every mount', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const cometd = await NodePeer.start(t, 'cometd', `${broker.origin}/cometd`, LP);
  const faye = await NodePeer.start(t, 'faye', `${broker.origin}/faye`, LP);
  const weft = await NodePeer.start(t, 'weft', broker.url, LP);
  const peers = [cometd, faye, weft];
  for (const peer of peers) await peer.subscribe('/talk/**');
  const text = 'ünïcödé \u2028 "quoted" </script> 🧵';
  const numbers = [0, -1.5, 1e21, true, null, [], {}];
  for (const [who, peer] of peers.entries()) await peer.publish('/talk/all', { who, text, numbers });
  for (const peer of peers) {
    assert.deepEqual(
      dataOf(await peer.receives(3), '/talk/all'),
      range(3).map((who) => ({ who, text, numbers })),
    );
  }
});

test('E22: a subscription to /meta is refused, and the client hears of it', BOUND, async (t) => {
  const broker = await Broker.start(t);
  for (const library of ['cometd', 'faye', 'weft']) {
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await assert.rejects(peer.subscribe('/meta/connect'), /403|subscribe_denied/);
    await peer.subscribe('/fine');
  }
});

test('R38, X5: each stock client takes WebSocket where it is offered, and long-polling where it is not', BOUND, async (t) => {
  for (const [websocket, expected] of [[true, 'websocket'], [false, 'long-polling']]) {
    const broker = await Broker.start(t, { config: `[bayeux]\nwebsocket = ${websocket}\n` });
    for (const library of ['cometd', 'faye']) {
      const peer = await NodePeer.start(t, library, broker.url);
      await peer.subscribe('/choice');
      await peer.publish('/choice', library);
      await peer.receives(1);
      const { reply } = await peer.until(expected, ({ transport }) => transport === expected);
      assert.equal(reply.supportedConnectionTypes.includes('websocket'), websocket);
    }
  }
});

test('R2: stopped by SIGTERM, the broker answers held polls and ends well; clients go on with the next', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const peers = [];
  for (const library of ['cometd', 'faye', 'weft']) {
    const peer = await NodePeer.start(t, library, broker.url, LP);
    await peer.subscribe('/live');
    peers.push(peer);
  }
  const all = async () => (await broker.metric('weft_held_connects')) === peers.length;
  await eventually('all wait', all);
  const began = Date.now();
  await broker.stop();
  assert.ok(Date.now() - began < 5000, 'no poll kept it');
  await broker.restart();
  const listen = async () => (await broker.metric('weft_subscriptions')) === peers.length;
  await eventually('all have subscribed again', listen, 30_000);
  await peers[0].publish('/live', 1);
  for (const peer of peers) await peer.receives(1);
});
