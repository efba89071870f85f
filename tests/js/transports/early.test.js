// faye opens its WebSocket before it has the browser's cookie. Where the upgrade takes longer than its
// first posts, these have bound the session to that cookie, and the socket comes without.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { BOUND, Broker, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const LATER = 300;

// Passes everything on, but upgrades late.
async function slowForUpgrades(t, broker) {
  const server = createServer((client) => {
    const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      one.on('error', () => {}).on('close', () => other.destroy());
    }
    upstream.pipe(client);
    client.once('data', (first) => {
      upstream.pause();
      const late = /^upgrade: *websocket/im.test(first.toString('latin1')) ? LATER : 0;
      client.pause();
      setTimeout(() => {
        upstream.write(first);
        client.pipe(upstream);
        upstream.resume();
      }, late);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return `http://127.0.0.1:${server.address().port}/bayeux`;
}

test('faye, node: L15, X5: a socket that is there before the cookie gives way to one with it', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const peer = await NodePeer.start(t, 'faye', await slowForUpgrades(t, broker));
  await peer.subscribe('/early');
  for (const n of range(12)) {
    await peer.publish('/early', n);
    await new Promise((resolve) => setTimeout(resolve, LATER / 3));
  }
  const { received, transport, handshakes } = await peer.receives(12);
  assert.deepEqual(received.map(([, data]) => data), range(12));
  assert.equal(transport, 'websocket');
  assert.equal(handshakes, 1);
});
