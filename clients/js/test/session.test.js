import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NORMAL, settled, World } from './fakes.js';

const GONE = {
  successful: false,
  error: '402::session_unknown',
  advice: { ...NORMAL, reconnect: 'handshake' },
};

test('A14: unconnected, connecting on handshake, connected on the first connect reply', async () => {
  const world = World.session();
  assert.equal(world.session.state, 'unconnected');
  world.session.start();
  assert.equal(world.session.state, 'connecting');
  world.handshake();
  assert.equal(world.session.state, 'connecting');
  world.connect();
  assert.equal(world.session.state, 'connected');
  const ended = world.session.disconnect();
  assert.equal(world.session.state, 'unconnected');
  world.answer('/meta/disconnect');
  await ended;
  assert.deepEqual(world.states, ['connecting', 'connected', 'unconnected']);
});

test('A14: unconnected on timeout, from connecting and from connected', () => {
  const connecting = World.session();
  connecting.session.start();
  connecting.pass(10000);
  assert.deepEqual(connecting.states, ['connecting', 'unconnected']);
  const connected = World.session();
  connected.up();
  connected.pass(40000);
  assert.equal(connected.session.state, 'unconnected');
});

test('A14: a connect that works again makes it connected again', () => {
  const world = World.session();
  world.up();
  world.last.fail();
  world.pass(1000);
  world.connect();
  assert.deepEqual(world.states, ['connecting', 'connected', 'unconnected', 'connected']);
});

test('A11: renegotiation: a new handshake, then every subscription again, by itself', async () => {
  const world = World.session();
  const seen = [];
  world.session.subscribe('/a', (m) => seen.push(m.data));
  world.session.subscribe('/b/*', () => {});
  world.handshake();
  world.answer('/meta/subscribe');
  world.connect();
  world.connect(GONE);
  world.pass(1000);
  world.handshake();
  const { clientId } = world.find('/meta/connect').message;
  const names = world.find('/meta/subscribe').request.messages;
  assert.deepEqual(names.map((m) => m.subscription), ['/a', '/b/*']);
  assert.ok(names.every((m) => m.clientId === clientId));
  world.answer('/meta/subscribe');
  world.connect({}, { channel: '/a', data: 1 });
  assert.deepEqual(seen, [1]);
});

test('A11: a publish refused for want of the session goes again under the next one, once', async () => {
  const world = World.session();
  world.up();
  const published = world.session.publish('/a', 1);
  world.answer('/a', GONE);
  world.pass(1000);
  assert.equal(world.find('/meta/connect').request.aborted, true, 'nobody holds it any more');
  world.handshake();
  world.answer('/a');
  await published;
  const twice = world.session.publish('/a', 2);
  world.answer('/a', GONE);
  world.pass(2000);
  world.handshake();
  world.answer('/a', GONE);
  await assert.rejects(twice, /402::session_unknown/);
});

test('A11: the advice of the old session does not outlive it', () => {
  const world = World.session();
  world.up();
  world.connect(GONE);
  world.pass(1000);
  world.handshake({ advice: undefined });
  assert.equal(world.last.messages[0].channel, '/meta/connect');
});

test('A11: a late answer meant for the old session does not disturb the new one', async () => {
  const world = World.session();
  world.up();
  const late = world.session.publish('/a', 1);
  const { request } = world.find('/a');
  world.connect(GONE);
  world.pass(1000);
  world.handshake();
  world.connect();
  request.reply({ channel: '/a', id: request.messages[0].id, ...GONE });
  world.pass(5000);
  assert.equal(world.find('/meta/connect').request.open, true, 'still held');
  world.connect();
  assert.equal(world.last.messages[0].channel, '/meta/connect', 'its advice is of no account');
  world.answer('/a');
  await late;
});

test('E2, E3: the handshake has what it must have, and is alone in its request', () => {
  const world = World.session();
  world.session.publish('/a', 1);
  world.session.subscribe('/b', () => {});
  assert.equal(world.sent.length, 1);
  assert.deepEqual(world.last.messages, [
    {
      channel: '/meta/handshake',
      version: '1.0',
      supportedConnectionTypes: ['long-polling'],
      id: '1',
    },
  ]);
});

test('E6: a server without our transport is given up', () => {
  const world = World.session();
  world.session.start();
  world.handshake({ supportedConnectionTypes: ['websocket'] });
  world.pass(60000);
  assert.equal(world.sent.length, 1);
  assert.match(world.errors[0].message, /long-polling/);
});

test('E12: one connect at most is outstanding, and A1: one other request', async () => {
  const world = World.session();
  world.up();
  const check = () => {
    const connects = world.open.filter((r) => r.messages[0].channel === '/meta/connect');
    assert.ok(connects.length <= 1 && world.open.length <= 2);
  };
  for (let round = 0; round < 50; round += 1) {
    world.session.publish('/a', round).catch(() => {});
    world.session.subscribe(`/s${round}`, () => {}).catch(() => {});
    check();
    const [connect] = world.open.filter((r) => r.messages[0].channel === '/meta/connect');
    if (round % 3 === 0 && connect) world.connect();
    if (round % 7 === 0) world.open.at(-1)?.fail();
    if (round % 5 === 0 && world.find('/a').request.open) world.answer('/a');
    world.pass(300);
    check();
  }
});

test('E13: it waits for the end of the response and the last interval, then follows the advice', () => {
  const world = World.session();
  world.up();
  const count = world.sent.length;
  world.pass(29999);
  assert.equal(world.sent.length, count, 'nothing while it is held');
  world.connect({ advice: { ...NORMAL, interval: 1500 } });
  world.pass(1499);
  assert.equal(world.sent.length, count);
  world.pass(1);
  assert.equal(world.sent.length, count + 1);
});

test('E13: a timeout of the client is the advised hold and the network delay', () => {
  const world = World.session({ networkDelay: 4000 });
  world.up();
  assert.equal(world.last.ms, 34000);
});

test('E19: a page that goes away stops at once and says goodbye; it can come back', async () => {
  const world = World.session();
  world.session.subscribe('/a', () => {});
  world.handshake();
  world.answer('/meta/subscribe');
  await settled();
  const { clientId } = world.find('/meta/connect').message;
  const [goodbye] = world.session.leave();
  assert.equal(goodbye.channel, '/meta/disconnect');
  assert.equal(goodbye.clientId, clientId);
  assert.equal(world.open.length, 0);
  world.pass(60000);
  assert.equal(world.open.length, 0);
  world.session.resume();
  world.handshake();
  assert.equal(world.find('/meta/subscribe').message.subscription, '/a');
});

test('R3: after a reply the next connect goes out at once', () => {
  const world = World.session();
  world.up();
  for (let i = 0; i < 5; i += 1) {
    world.pass(700);
    world.connect({}, { channel: '/a', data: i });
    assert.equal(world.last.at, world.now);
    assert.equal(world.last.messages[0].channel, '/meta/connect');
  }
});

test('R9: ids strictly increase, across failures and new sessions', async () => {
  const world = World.session();
  world.up();
  world.session.publish('/a', 1).catch(() => {});
  world.session.publish('/a', 2).catch(() => {});
  world.last.fail();
  world.pass(2000);
  world.connect(GONE);
  world.pass(4000);
  world.handshake();
  world.connect();
  const ids = world.sent.flatMap((r) => r.messages.map((m) => Number(m.id)));
  assert.ok(ids.every((id, i) => i === 0 || id > ids[i - 1]), ids.join());
});

test('L12: after a break the connect asks for an answer at once, alone, on the same session', () => {
  const world = World.session();
  world.up();
  const { clientId } = world.last.messages[0];
  world.last.fail();
  world.pass(1000);
  assert.equal(world.last.messages.length, 1);
  assert.deepEqual(world.last.messages[0].advice, { timeout: 0 });
  assert.equal(world.last.messages[0].clientId, clientId);
  assert.equal(world.last.ms, 10000);
  world.connect();
  assert.equal('advice' in world.last.messages[0], false, 'only once');
});
