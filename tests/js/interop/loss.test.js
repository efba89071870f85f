// Replies that get lost between the broker and an unmodified client.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';

// Passes bytes on until told to cut: then the connection over which the broker
// next says `marker` is broken, and the client gets nothing of that.
async function cuttingProxy(t, broker) {
  const proxy = { cuts: 0, marker: undefined };
  const server = createServer((client) => {
    const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
    const close = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on('error', close).on('close', close);
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      if (proxy.marker && chunk.includes(proxy.marker)) {
        proxy.marker = undefined;
        proxy.cuts += 1;
        close();
      } else {
        client.write(chunk);
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  proxy.url = `http://127.0.0.1:${server.address().port}/bayeux`;
  return proxy;
}

for (const library of ['cometd', 'faye', 'weft']) {
  test(`${library}: P2, L12: events in a reply that is lost on the way come again, in order`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const proxy = await cuttingProxy(t, broker);
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
    const proxy = await cuttingProxy(t, broker);
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
