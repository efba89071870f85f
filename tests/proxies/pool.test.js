// A proxy that has eight connections to weft for everybody: eight held polls, and nobody else is
// served. The cure is the very same file without that limit.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Broker, eventually, range } from '../js/harness.js';
import { held } from './clients.js';
import { post, session } from './raw.js';
import { record } from './results.js';
import { INSTALLED, startProxy } from './rig.js';

const BOUND = { timeout: 60_000 };
const POOL = 8;
const POLLS = 12;
const HOLD = 4;
const CONFIG = `
[sessions]
timeout = "${HOLD}s"
`;

// What makes the plain file one with a pool, and what those get for whom there is no connection: a
// place in a queue, or a status at once.
const LIMITS = {
  nginx: { from: 'server 127.0.0.1:8080;', to: `server 127.0.0.1:8080 max_conns=${POOL};`, gets: 502 },
  haproxy: { from: 'server weft 127.0.0.1:8080', to: `$& maxconn ${POOL}`, gets: 'queued' },
  varnish: { from: '.first_byte_timeout', to: `.max_connections = ${POOL}; $&`, gets: 503 },
  // Those who come at once get more than that, and those who come later nothing at all.
  squid: { from: 'name=weft', to: `$& max-conn=${POOL}`, gets: 502, isVague: true },
  apache: { from: 'timeout=75', to: `max=${POOL} $&`, gets: 'queued' },
};

// Twelve sessions poll through the proxy, and then somebody publishes through it. `expected` polls are
// held, if that can be known.
async function publishAmidPolls(t, kind, options, expected) {
  const broker = await Broker.start(t, { config: CONFIG });
  const proxy = await startProxy(t, kind, 'plain', broker, options);
  const send = (messages) => post(proxy, '/bayeux', messages);
  const sessions = [];
  for (const _ of range(POLLS)) sessions.push(await session(send));
  let answered = 0;
  const poll = async (each) => {
    const answer = await each.poll();
    answered += 1;
    return answer;
  };
  const polls = [];
  for (const each of sessions) {
    polls.push(poll(each));
    // What was said last may still count as a connection in use: varnish hands a reply on before it is
    // done with it.
    if (polls.length <= POOL) await held(broker, polls.length);
  }
  if (expected) {
    await held(broker, expected);
  } else {
    const settled = async () => (await broker.metric('weft_held_connects')) + answered === POLLS;
    await eventually('each is held or turned away', settled);
  }
  const { status, ms } = await post(proxy, '/publish/pool', '1');
  const statuses = (await Promise.all(polls)).map((poll) => poll.status);
  return { status, ms, refused: statuses.filter((each) => each !== 200).length };
}

function assertStarved({ status, ms, refused }, gets, turnedAway = 0) {
  if (gets === 'queued') {
    assert.equal(status, 200);
    assert.equal(refused, 0);
    // It came to be in the queue after the first poll was held, and some time later than that.
    assert.ok(ms > HOLD * 500, `${ms} ms`);
  } else {
    assert.equal(status, gets);
    assert.equal(refused, turnedAway);
  }
}

function assertServed({ status, ms, refused }) {
  assert.equal(status, 200);
  assert.equal(refused, 0);
  assert.ok(ms < HOLD * 500, `${ms} ms`);
}

describe('pools', { concurrency: 6 }, () => {
  for (const kind of INSTALLED) {
    const { from, to, gets, isVague } = LIMITS[kind];
    test(`${kind}: R12: a pool of ${POOL} with ${POLLS} polls starves whoever publishes`, BOUND, async (t) => {
      const change = (text) => {
        assert.ok(text.includes(from));
        return text.replace(from, to);
      };
      const found = await publishAmidPolls(t, kind, { change }, isVague ? undefined : POOL);
      record(t, { proxy: kind, config: 'pool of 8' }, 'publish amid 12 polls', found);
      assertStarved(found, gets, isVague ? found.refused : POLLS - POOL);
    });

    test(`${kind}: R12: without that limit nobody waits`, BOUND, async (t) => {
      const found = await publishAmidPolls(t, kind, {}, POLLS);
      record(t, { proxy: kind, config: 'plain' }, 'publish amid 12 polls', found);
      assertServed(found);
    });
  }

  test('apache: R12: its threads are a pool as well', { ...BOUND, skip: !INSTALLED.includes('apache') }, async (t) => {
    const frame = (text) => text.replaceAll('128', POOL);
    const found = await publishAmidPolls(t, 'apache', { frame }, POOL);
    record(t, { proxy: 'apache', config: '8 threads' }, 'publish amid 12 polls', found);
    assertStarved(found, 'queued');
  });
});
