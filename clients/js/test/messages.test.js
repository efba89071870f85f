import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesMatching } from '../subscriptions.js';
import { settled, World } from './fakes.js';

test('B6, B7: which names match a channel', () => {
  assert.deepEqual(namesMatching('/a'), ['/a', '/*', '/**']);
  assert.deepEqual(namesMatching('/a/b/c'), ['/a/b/c', '/a/b/*', '/a/b/**', '/a/**', '/**']);
});

test('subscribe before connecting waits for the session, and gets messages', async () => {
  const world = World.session();
  const seen = [];
  const subscribing = world.session.subscribe('/a/*', (m) => seen.push(m.data));
  world.handshake();
  assert.equal(world.find('/meta/subscribe').request.messages.length, 1);
  world.answer('/meta/subscribe');
  const sub = await subscribing;
  world.connect({}, { channel: '/a/b', data: 1 }, { channel: '/a', data: 2 }, { channel: '/a/c', data: 3 });
  assert.deepEqual(seen, [1, 3]);
  const cancelled = sub.cancel();
  world.connect({}, { channel: '/a/b', data: 4 });
  assert.deepEqual(seen, [1, 3], 'nothing after the call');
  world.answer('/meta/unsubscribe');
  await cancelled;
});

test('a name is unsubscribed when its last listener is gone', async () => {
  const world = World.session();
  world.up();
  const first = world.session.subscribe('/a', () => {});
  const second = world.session.subscribe('/a', () => {});
  world.answer('/meta/subscribe');
  world.answer('/meta/subscribe');
  await (await first).cancel();
  assert.equal(world.find('/meta/unsubscribe').request, undefined);
  (await second).cancel();
  await settled();
  assert.equal(world.find('/meta/unsubscribe').message.subscription, '/a');
});

test('a refused subscription rejects and is not asked for again', async () => {
  const world = World.session();
  const refused = world.session.subscribe('/secret', () => {});
  world.handshake();
  world.answer('/meta/subscribe', { successful: false, error: '403:/secret:subscribe_denied' });
  await assert.rejects(refused, (error) => {
    assert.equal(error.reply.error, '403:/secret:subscribe_denied');
    return true;
  });
  world.session.leave();
  world.session.resume();
  assert.equal(world.open.length, 0);
});

test('a subscription whose request failed is tried again; a publish is not', async () => {
  const world = World.session();
  world.up();
  const first = world.session.publish('/first', 0);
  const publishing = world.session.publish('/a', 1);
  const subscribing = world.session.subscribe('/b', () => {});
  world.answer('/first');
  await first;
  world.find('/a').request.fail();
  await assert.rejects(publishing, /network/);
  world.pass(1000);
  world.answer('/meta/subscribe');
  assert.equal((await subscribing).channel, '/b');
  assert.equal(world.sent.flatMap((r) => r.messages).filter((m) => m.channel === '/a').length, 1);
});

test('publishes gather while a request is under way, and keep their order', async () => {
  const world = World.session({ maxBatch: 3 });
  world.up();
  const done = [];
  for (let i = 0; i < 5; i += 1) world.session.publish('/a', i).then(() => done.push(i));
  world.answer('/a');
  world.answer('/a');
  world.answer('/a');
  await settled();
  assert.deepEqual(done, [0, 1, 2, 3, 4]);
  const batches = world.sent.filter((r) => r.messages[0].channel === '/a');
  assert.deepEqual(batches.map((r) => r.messages.map((m) => m.data)), [[0], [1, 2, 3], [4]]);
});

test('a message too long for the transport is refused, the others go', async () => {
  const world = World.session();
  world.up();
  world.fit = (messages) => (messages[0].data === 'long' ? 0 : 1);
  const long = world.session.publish('/a', 'long');
  const short = world.session.publish('/a', 'short');
  await assert.rejects(long, /too long/);
  world.answer('/a');
  await short;
});

test('the queue has a bound', async () => {
  const world = World.session({ maxQueue: 1 });
  world.session.publish('/a', 1).catch(() => {});
  await assert.rejects(world.session.publish('/a', 2), /too many/);
});

test('disconnect goes after what was just published', async () => {
  const world = World.session();
  world.up();
  const published = world.session.publish('/a', 1);
  const ended = world.session.disconnect();
  world.answer('/a');
  await published;
  world.answer('/meta/disconnect');
  await ended;
  assert.equal(world.open.length, 0);
  world.pass(3600000);
  assert.equal(world.open.length, 0);
});

test('disconnect ends though the server does not answer, and without a session', async () => {
  const world = World.session();
  world.up();
  const ended = world.session.disconnect();
  await settled();
  world.find('/meta/disconnect').request.fail();
  await ended;
  assert.equal(world.session.state, 'unconnected');
  const early = World.session();
  const waiting = early.session.publish('/a', 1);
  await early.session.disconnect();
  await assert.rejects(waiting, /disconnected/);
});

test('a listener that throws is reported and stops nobody', async () => {
  const world = World.session();
  const seen = [];
  world.session.subscribe('/a', () => {
    throw new Error('mine');
  });
  world.session.subscribe('/a', (m) => seen.push(m.data));
  world.handshake();
  world.connect({}, { channel: '/a', data: 1 });
  assert.deepEqual(seen, [1]);
  assert.equal(world.errors[0].message, 'mine');
  assert.equal(world.last.messages[0].channel, '/meta/connect');
});

test('a listener may disconnect in the middle of a reply', async () => {
  const world = World.session();
  world.session.subscribe('/a', () => world.session.disconnect());
  world.handshake();
  world.answer('/meta/subscribe');
  world.connect({}, { channel: '/a', data: 1 });
  await settled();
  world.answer('/meta/disconnect');
  await settled();
  world.pass(3600000);
  assert.equal(world.open.length, 0);
  assert.deepEqual(world.states, ['connecting', 'unconnected']);
});
