// The broker dies and comes back under browsers; pages are left and reloaded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { browserForTests, newContext, PagePeer } from './pages.js';

const world = browserForTests();

const CLIENTS = [
  { library: 'cometd', transport: 'long-polling' },
  { library: 'cometd', transport: 'callback-polling' },
  // As applications have it. A failed request to another origin makes cometd.js doubt its
  // long-polling, so there the other must stand by.
  { library: 'cometd', transport: ['long-polling', 'callback-polling'], place: 'cross-origin' },
  { library: 'faye', transport: 'long-polling' },
  { library: 'faye', transport: 'callback-polling' },
  { library: 'faye', transport: 'long-polling', place: 'cross-origin' },
  { library: 'weft', transport: 'long-polling' },
  { library: 'weft', transport: 'callback-polling' },
  { library: 'weft', transport: 'long-polling', place: 'cross-site' },
];

for (const client of CLIENTS) {
  const { library, transport, place = 'same-origin' } = client;
  test(`${library}, ${transport}, ${place}: A11, D2: broker killed and restarted: it goes on`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const context = await newContext(t, world);
    const peer = await PagePeer.start(context, world, broker, client);
    await peer.subscribe('/live');
    await peer.publish('/live', 0);
    const before = await peer.receives(1);
    await broker.kill();
    await broker.restart();
    await peer.until('a new handshake', (s) => s.handshakes > before.handshakes, 30_000);
    const listens = async () => (await broker.metric('weft_subscriptions')) === 1;
    await eventually('it has subscribed again', listens, 30_000);
    const publisher = await NodePeer.start(t, 'faye', broker.url, { transport: 'long-polling' });
    for (const n of range(10, 1)) await publisher.publish('/live', n);
    assert.deepEqual(dataOf(await peer.receives(11), '/live'), range(11));
  });
}

for (const library of ['cometd', 'faye', 'weft']) {
  test(`${library}: H2: a page that is reloaded is no second tab: it waits and gets messages at once`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const context = await newContext(t, world);
    const peer = await PagePeer.start(context, world, broker, { library, transport: 'long-polling' });
    const publisher = await NodePeer.start(t, 'faye', broker.url, { transport: 'long-polling' });
    await peer.subscribe('/page');
    for (const round of range(3)) {
      await peer.reload();
      await peer.subscribe('/page');
      await publisher.publish('/page', round);
      assert.deepEqual((await peer.receives(1)).received, [['/page', round]]);
      const two = async () => (await broker.metric('weft_held_connects')) === 2;
      await eventually('the page and the publisher are held, nobody else', two, 5000);
    }
    assert.equal(await broker.metric('weft_connects_demoted_total'), 0);
  });
}

// Ours alone: cometd.js does not try, and faye's goodbye is a race against the end of the page.
test('weft: E19: a page that is left says so, and its session ends at once', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const context = await newContext(t, world);
  const options = { library: 'weft', transport: 'long-polling' };
  const peer = await PagePeer.start(context, world, broker, options);
  await peer.subscribe('/page');
  await peer.page.goto('about:blank');
  const none = async () => (await broker.metric('weft_sessions')) === 0;
  await eventually('no session', none, 5000); // they expire after 30 s
});
