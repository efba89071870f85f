// Clients made for Salesforce's streaming, against channels with `salesforce = true`: npm jsforce
// (over faye) and PyPI aiosfstream-ng (over aiocometd), each with its own replay extension.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { PYTHON } from '../python.js';

const CHANNEL = '/event/Order__e';
const SALESFORCE = { config: '[[channels]]\npattern = "/event/*"\nsalesforce = true\n' };
const SUBSCRIBER = fileURLToPath(new URL('../../python/subscriber.py', import.meta.url));

async function publish(broker, ...numbers) {
  for (const number of numbers) {
    const body = JSON.stringify({ payload: { number } });
    const response = await fetch(`${broker.origin}/publish${CHANNEL}?durable=1`, { method: 'POST', body });
    assert.equal(response.status, 200);
  }
}

async function jsforce(t, broker, replay) {
  const options = { channel: CHANNEL, replay };
  const peer = await NodePeer.start(t, 'jsforce', broker.origin, options);
  await peer.subscribe(CHANNEL);
  return peer;
}

async function aiosfstream(t, broker, storage) {
  assert.ok(existsSync(PYTHON), `${PYTHON}: tests/run.sh makes it`);
  const args = [SUBSCRIBER, broker.origin, CHANNEL, storage];
  const child = spawn(PYTHON, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const received = [];
  createInterface(child.stdout).on('line', (line) => received.push(JSON.parse(line).data));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGKILL');
    await exited;
  };
  t.after(stop);
  return { received, stop };
}

const numbers = (messages) => messages.map(({ payload }) => payload.number);
const all = async (client, count) => {
  if (client instanceof NodePeer) return dataOf(await client.receives(count, 30_000), CHANNEL);
  await eventually(`${count} messages`, () => client.received.length >= count, 30_000);
  return client.received;
};

// They come as Salesforce's do: with rising numbers that JavaScript reads exactly, and dates that
// compare as texts.
function check(messages, expected) {
  assert.deepEqual(numbers(messages), expected);
  for (const { event } of messages) {
    assert.ok(Number.isSafeInteger(event.replayId));
    assert.match(event.createdDate, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  }
  const rising = (values) => values.every((value, at) => at === 0 || values[at - 1] <= value);
  assert.ok(rising(messages.map(({ event }) => event.replayId)));
  assert.ok(rising(messages.map(({ event }) => event.createdDate)));
}

test('X2: jsforce starts at all, goes on after the last, and misses nothing over a kill -9', BOUND, async (t) => {
  const broker = await Broker.start(t, SALESFORCE);
  await publish(broker, 1, 2, 3);
  const first = await jsforce(t, broker, -2);
  await publish(broker, 4);
  check(await all(first, 4), [1, 2, 3, 4]);
  await broker.kill();
  await broker.restart();
  // It comes back later than these, with the position of the last message that it has seen.
  await publish(broker, 5, 6);
  const seen = await all(first, 6);
  check(seen, range(6, 1));
  const { replayId } = seen.at(-1).event;
  const [second, third] = [await jsforce(t, broker, replayId - 1), await jsforce(t, broker, -1)];
  await publish(broker, 7);
  check(await all(second, 2), [6, 7]);
  check(await all(third, 1), [7]);
});

test('X2: aiosfstream-ng starts at all, and each run goes on where the last one ended', BOUND, async (t) => {
  const broker = await Broker.start(t, SALESFORCE);
  const directory = await mkdtemp(join(tmpdir(), 'weft-python-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const storage = join(directory, 'markers');
  await publish(broker, 1, 2, 3);
  const first = await aiosfstream(t, broker, storage);
  check(await all(first, 3), [1, 2, 3]);
  await publish(broker, 4);
  check(await all(first, 4), [1, 2, 3, 4]);
  await first.stop();
  await broker.kill();
  await broker.restart();
  await publish(broker, 5, 6);
  const second = await aiosfstream(t, broker, storage);
  check(await all(second, 2), [5, 6]);
  await publish(broker, 7);
  check(await all(second, 3), [5, 6, 7]);
});
