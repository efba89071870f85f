// Replies that get lost between the broker and an unmodified client.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { breakingProxy } from '../proxy.js';

for (const library of ['cometd', 'faye', 'weft']) {
  test(`${library}: P2, L12: events in a reply that is lost on the way come again, in order`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const proxy = await breakingProxy(t, broker);
    const peer = await NodePeer.start(t, library, proxy.url, { transport: 'long-polling' });
    const publisher = await NodePeer.start(t, 'cometd', broker.url, { transport: 'long-polling' });
    await peer.subscribe('/lost');
    const held = async () => (await broker.metric('weft_held_connects')) === 2;
    for (const round of range(3)) {
      await eventually('both wait', held);
      proxy.marker = `"/lost"`;
      const from = round * 5;
      for (const n of range(5, from)) await publisher.publish('/lost', n);
      const status = await peer.receives(from + 5);
      assert.deepEqual(dataOf(status, '/lost'), range(from + 5));
      assert.equal(proxy.cuts, round + 1);
    }
    assert.equal((await peer.status()).handshakes, 1, 'all in one session');
    assert.ok((await broker.metric('weft_messages_resent_total')) >= 3);
  });

  test(`${library}: P2, L12: what is published while its socket is gone is waiting when it returns`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const proxy = await breakingProxy(t, broker);
    const peer = await NodePeer.start(t, library, proxy.url, { transport: 'long-polling' });
    const publisher = await NodePeer.start(t, 'cometd', broker.url, { transport: 'long-polling' });
    await peer.subscribe('/gone');
    // Its poll breaks with the first message; the rest comes while it is away.
    proxy.marker = '"/gone"';
    await publisher.batch(range(50).map((n) => ['/gone', n]));
    const status = await peer.receives(50);
    assert.deepEqual(dataOf(status, '/gone'), range(50));
  });
}
