import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff, readAdvice } from '../advice.js';
import { NORMAL, World } from './fakes.js';

test('C10: a section named after the transport overrides the rest', () => {
  const advice = { interval: 5, 'long-polling': { interval: 7 }, 'callback-polling': { interval: 9 } };
  assert.equal(readAdvice(advice, 'long-polling').interval, 7);
  assert.equal(readAdvice(advice, 'callback-polling').interval, 9);
  assert.equal(readAdvice(advice, 'websocket').interval, 5);
});

test('C10: new advice replaces all of the old: a member it lacks falls back to its default', () => {
  const world = World.session();
  world.up();
  world.connect({ advice: { ...NORMAL, interval: 5000, 'multiple-clients': true } });
  assert.equal(world.session.multipleClients, true);
  world.pass(5000);
  world.connect({ advice: { reconnect: 'retry' } });
  assert.equal(world.session.multipleClients, false);
  assert.equal(world.last.at, world.now, 'no interval any more');
  assert.equal(world.last.ms, 70000, 'nor the old timeout');
});

test('C10: without new advice the old one stays in force', () => {
  const world = World.session();
  world.up();
  world.connect({ advice: { ...NORMAL, interval: 2000 } });
  world.pass(2000);
  world.connect();
  const count = world.sent.length;
  world.pass(1999);
  assert.equal(world.sent.length, count);
  world.pass(1);
  assert.equal(world.sent.length, count + 1);
});

test('advice of odd types counts as not given', () => {
  for (const advice of [null, undefined, 3, 'retry', [], { interval: '7', timeout: -1 }]) {
    const read = readAdvice(advice, 'long-polling');
    assert.deepEqual([read.reconnect, read.interval, read.timeout], ['retry', 0, 60000]);
  }
});

test('D1: retry polls again on the same session, after the interval', () => {
  const world = World.session();
  world.up();
  const { clientId } = world.last.messages[0];
  world.connect({ successful: false, error: '503::busy', advice: { ...NORMAL, interval: 3000 } });
  world.pass(3000 + 1000);
  assert.equal(world.last.messages[0].channel, '/meta/connect');
  assert.equal(world.last.messages[0].clientId, clientId);
  assert.equal(world.last.at, 4000, 'interval and back-off');
});

test('D2: handshake is answered by a handshake and by no connect', () => {
  const world = World.session();
  world.up();
  const count = world.sent.length;
  world.connect({
    successful: false,
    error: '402::session_unknown',
    advice: { ...NORMAL, reconnect: 'handshake' },
  });
  world.pass(60000);
  const [{ messages }] = world.sent.slice(count);
  assert.equal(messages.length, 1);
  assert.equal(messages[0].channel, '/meta/handshake');
  assert.equal('clientId' in messages[0], false);
});

for (const [rule, advice] of [
  ['D3: none', { ...NORMAL, reconnect: 'none' }],
  ['D4: a value it does not know', { ...NORMAL, reconnect: 'x' }],
  ['D7: a negative interval', { ...NORMAL, interval: -1 }],
]) {
  test(`${rule} stops the client and tells the application`, () => {
    for (const successful of [true, false]) {
      const world = World.session();
      world.up();
      const count = world.sent.length;
      world.connect({ successful, advice, ...(!successful && { error: '403::no' }) });
      world.pass(3600000);
      assert.equal(world.sent.length, count);
      assert.equal(world.session.state, 'unconnected');
      assert.equal(world.errors.length, 1);
    }
  });

  test(`${rule} on a handshake stops it likewise`, () => {
    const world = World.session();
    world.session.start();
    world.handshake({ successful: false, error: '403::no', advice, clientId: undefined });
    world.pass(3600000);
    assert.equal(world.sent.length, 1);
    assert.equal(world.errors.length, 1);
  });
}

test('D7: the next connect waits for the interval, 0 or 1000 ms', () => {
  for (const interval of [0, 1000]) {
    const world = World.session();
    world.up();
    world.connect({ advice: { ...NORMAL, interval } });
    world.pass(5000);
    assert.equal(world.last.at, interval);
  }
});

test('D8: back-off grows with each failure without new advice, to a limit', () => {
  const world = World.session();
  world.up();
  const waits = [];
  for (let i = 0; i < 8; i += 1) {
    const failedAt = world.now;
    const count = world.sent.length;
    world.last.fail();
    while (world.sent.length === count) world.pass(100);
    waits.push(world.last.at - failedAt);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  world.connect();
  world.last.fail();
  world.pass(1000);
  assert.equal(world.open.length, 1, 'a success starts it anew');
});

test('D8: back-off has full jitter: any part of the ceiling, down to nothing', () => {
  const limits = { base: 1000, cap: 30000 };
  assert.equal(backoff(3, limits, 0), 0);
  assert.equal(backoff(3, limits, 0.25), 1000);
  assert.equal(backoff(0, limits, 1), 0);
});
