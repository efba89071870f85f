// Stock clients and our own in a browser: both polling transports, from the
// broker's own origin, from another port and from another site.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { browserForTests, newContext, PagePeer, PLACES } from './pages.js';

const world = browserForTests();
const TEXT = '</script><!-- \u2028\u2029 "ünïcödé" \\ 🧵';

// What the client says it speaks once it is connected.
function spoken(library, transport, place) {
  const posting = transport === 'long-polling';
  return library === 'faye' && posting && place !== 'same-origin'
    ? 'cross-origin-long-polling'
    : transport;
}

for (const library of ['cometd', 'faye', 'weft']) {
  for (const transport of ['long-polling', 'callback-polling']) {
    for (const place of Object.keys(PLACES)) {
      const rules = transport === 'long-polling' ? 'A3, I3, R17' : 'J1, J3, J5, R17, R30, R31';
      test(`${library}, ${transport}, ${place}: ${rules}: publish and receive`, BOUND, async (t) => {
        const broker = await Broker.start(t);
        const context = await newContext(t, world);
        const peer = await PagePeer.start(context, world, broker, { library, transport, place });
        await peer.subscribe('/page/*');
        const publisher = await NodePeer.start(t, 'faye', broker.url, { transport: 'long-polling' });
        for (const n of range(30)) await publisher.publish('/page/in', n);
        // While a connect is held: over JSONP too its answer must not wait for that one's end.
        const began = Date.now();
        await peer.publish('/page/out', TEXT);
        assert.ok(Date.now() - began < 5000, 'the held poll is in nobody\'s way');
        const status = await peer.receives(31);
        assert.deepEqual(dataOf(status, '/page/in'), range(30));
        assert.deepEqual(dataOf(status, '/page/out'), [TEXT]);
        assert.equal(status.transport, spoken(library, transport, place));
        await checkResponses(peer, transport);
      });
    }
  }
}

async function checkResponses(peer, transport) {
  const headers = await Promise.all(
    peer.responses
      .filter((response) => response.request().method() !== 'OPTIONS')
      .map((response) => response.allHeaders()),
  );
  assert.ok(headers.length >= 3);
  for (const header of headers) {
    assert.match(header['cache-control'], /no-cache/);
    assert.equal(header['x-content-type-options'], 'nosniff');
  }
  const { 'content-type': type } = headers.at(-1);
  assert.match(type, transport === 'long-polling' ? /^application\/json/ : /javascript/);
}

const OFFERS = [
  ['', { cometd: 'websocket', faye: 'websocket' }],
  ['websocket = false\n', { cometd: 'long-polling', faye: 'eventsource' }],
  ['websocket = false\neventsource = false\n', { cometd: 'long-polling', faye: 'long-polling' }],
];

for (const library of ['cometd', 'faye']) {
  test(`${library}: R38, X5: with everything on, it finds the best of what is offered`, BOUND, async (t) => {
    for (const [off, expected] of OFFERS) {
      const broker = await Broker.start(t, { config: `[bayeux]\n${off}` });
      const context = await newContext(t, world);
      const peer = await PagePeer.start(context, world, broker, { library });
      await peer.subscribe('/a');
      await peer.publish('/a', 1);
      await peer.receives(1);
      const best = expected[library];
      const { reply } = await peer.until(best, ({ transport }) => transport === best);
      const all = ['callback-polling', 'cross-origin-long-polling', 'eventsource', 'long-polling', 'websocket'];
      const offered = all.filter((type) => !off.includes(`${type} = false`));
      assert.deepEqual(reply.supportedConnectionTypes.sort(), offered);
    }
  });
}

for (const transport of ['long-polling', 'callback-polling']) {
  test(`weft, ${transport}: R7, E12, A1: two requests at most, one of them held`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const context = await newContext(t, world);
    const peer = await PagePeer.start(context, world, broker, { library: 'weft', transport });
    await peer.subscribe('/burst');
    await peer.batch(range(200).map((n) => ['/burst', n]));
    assert.deepEqual(dataOf(await peer.receives(200), '/burst'), range(200));
    assert.ok(Math.max(...peer.requests.map(({ alongside }) => alongside)) <= 1);
    for (const { url } of peer.requests) assert.ok(url.length <= 2000);
  });
}

test('weft: R18: requests tell caches to keep out, or never have the same address', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const context = await newContext(t, world);
  const posting = await PagePeer.start(context, world, broker, { library: 'weft' });
  for (const { headers } of posting.requests) assert.equal(headers['cache-control'], 'no-cache');
  const options = { library: 'weft', transport: 'callback-polling' };
  const getting = await PagePeer.start(context, world, broker, options);
  await getting.subscribe('/a');
  const urls = getting.requests.map(({ url }) => url);
  assert.equal(new Set(urls).size, urls.length);
});
