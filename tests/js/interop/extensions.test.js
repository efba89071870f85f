// cometd's own extensions, on together: what the broker does not know must not break anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const ALL = ['Ack', 'TimeStamp', 'TimeSync', 'Binary'];

test('X3, C21: cometd with ack, timestamp, timesync and binary extensions works as without', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const options = { transport: 'long-polling', extensions: ALL };
  const peer = await NodePeer.start(t, 'cometd', broker.url, options);
  const plain = await NodePeer.start(t, 'faye', broker.url, { transport: 'long-polling' });
  await peer.subscribe('/ext/*');
  await plain.subscribe('/ext/*');
  for (const n of range(20)) await peer.publish('/ext/a', n);
  assert.deepEqual(dataOf(await peer.receives(20), '/ext/a'), range(20));
  assert.deepEqual(dataOf(await plain.receives(20), '/ext/a'), range(20));
});

test('X1: the handshake reply promises ack to those who ask for it', BOUND, async (t) => {
  const broker = await Broker.start(t);
  for (const extensions of [ALL, []]) {
    const options = { transport: 'long-polling', extensions };
    const peer = await NodePeer.start(t, 'cometd', broker.url, options);
    const { reply } = await peer.status();
    assert.equal(reply.ext?.ack, extensions.length > 0 || undefined);
  }
});

test('X3: timesync is answered', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const options = { transport: 'long-polling', extensions: ALL };
  const peer = await NodePeer.start(t, 'cometd', broker.url, options);
  const { tc, ts, p, a } = (await peer.status()).reply.ext.timesync;
  for (const value of [tc, ts, p, a]) assert.equal(typeof value, 'number');
  assert.ok(Math.abs(ts - tc) < 60_000 && p >= 0);
});

test('X3: binary messages pass through', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const options = { transport: 'long-polling', extensions: ALL };
  const [sender, receiver] = await Promise.all([
    NodePeer.start(t, 'cometd', broker.url, options),
    NodePeer.start(t, 'cometd', broker.url, options),
  ]);
  await receiver.subscribe('/bin');
  await sender.call('publishBinary', '/bin', range(256));
  const [[, message]] = (await receiver.receives(1)).received;
  assert.deepEqual(message.data.slice(0, 256), range(256));
});
