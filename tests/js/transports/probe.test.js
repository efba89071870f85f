// A stock client that asks first whether WebSocket works, as docs/clients.md has it, behind proxies
// that let none through: it never takes what swallows.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests, newContext, PagePeer } from '../browser/pages.js';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { swallower, WAYS } from '../swallower.js';

const world = browserForTests();
const SECONDS = 20; // of a loaded machine
const NEXT_BEST = { cometd: ['long-polling'], faye: ['long-polling', 'eventsource'] };

function open(t, place, origin, options) {
  const { library } = options;
  if (place === 'node') return NodePeer.start(t, library, origin.url, options);
  return newContext(t, world).then((context) => PagePeer.start(context, world, origin, options));
}

async function exchange(broker, peer) {
  await peer.subscribe('/live');
  for (const n of range(10)) await peer.publish('/live', n);
  const { received } = await peer.receives(10, SECONDS * 1000);
  assert.deepEqual(received.map(([, data]) => data), range(10));
}

describe('asked first', { concurrency: 4 }, () => {
  for (const library of ['cometd', 'faye']) {
    for (const place of ['node', 'Chromium']) {
      const options = { library, probe: true };
      for (const [way, what] of Object.entries(WAYS)) {
        test(`${library}, ${place}: R38: a proxy that ${way}: messages come within seconds, by another transport`, BOUND, async (t) => {
          const broker = await Broker.start(t);
          const proxy = await swallower(t, broker, what);
          const began = Date.now();
          const peer = await open(t, place, proxy, options);
          await exchange(broker, peer);
          const seconds = (Date.now() - began) / 1000;
          assert.ok(seconds < SECONDS, `${seconds} s`);
          const { transport } = await peer.status();
          assert.ok(NEXT_BEST[library].includes(transport), transport);
          assert.equal(proxy.sockets, 1, 'asked once, and no more');
          t.diagnostic(`${seconds} s, ${transport}`);
        });
      }

      test(`${library}, ${place}: R38, X5: where nobody is in the way, WebSocket it is`, BOUND, async (t) => {
        const broker = await Broker.start(t);
        const peer = await open(t, place, broker, options);
        await exchange(broker, peer);
        await peer.until('WebSocket', ({ transport }) => transport === 'websocket');
        const sessions = async () => (await broker.metric('weft_sessions')) === 1;
        await eventually('the one that asked is gone', sessions, 5000);
        assert.equal(await broker.metric('weft_websockets'), 1);
      });
    }
  }
});
