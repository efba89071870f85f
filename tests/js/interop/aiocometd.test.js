// PyPI's aiocometd-ng by both of its transports: it connects, drops out, and comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { Network } from '../network.js';
import { PythonPeer } from '../python.js';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function publish(broker, numbers) {
  for (const n of numbers) {
    const body = JSON.stringify(n);
    const { status } = await fetch(`${broker.origin}/publish/py`, { method: 'POST', body });
    assert.equal(status, 200);
  }
}

for (const transport of ['long-polling', 'websocket']) {
  test(`aiocometd-ng, ${transport}: X5, A8, A11, P2: messages both ways, a drop, a restart, a goodbye`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const network = await Network.start(t, broker);
    const peer = PythonPeer.start(t, network.url, transport);
    assert.equal(await peer.subscribe('/py'), transport);
    const sockets = transport === 'websocket' ? 1 : 0;
    assert.equal(await broker.metric('weft_websockets'), sockets);
    network.watch();
    await publish(broker, range(50));
    for (const n of range(10, 50)) await peer.publish('/py', n);
    await peer.receives(60);
    assert.deepEqual(peer.received, range(60).map((n) => ['/py', n]));
    assert.deepEqual(Object.keys(network.events), [transport]);

    // Longer than a second, after which it tries again.
    network.cut('closed');
    await publish(broker, range(20, 60));
    await pause(2500);
    await publish(broker, range(20, 80));
    network.mend();
    const numbers = () => [...new Set(peer.received.map(([, n]) => n))];
    await eventually('all that was missed', () => numbers().length >= 100, 30_000);
    assert.deepEqual(numbers(), range(100));
    assert.equal(await broker.metric('weft_handshakes_total'), 1, 'the session went on');
    assert.equal(await broker.metric('weft_websockets'), sockets);

    await broker.kill();
    await broker.restart();
    const listens = async () => (await broker.metric('weft_subscriptions')) === 1;
    await eventually('it has subscribed again', listens, 30_000);
    await publish(broker, range(10, 100));
    await eventually('it hears again', () => numbers().length >= 110);
    assert.deepEqual(numbers(), range(110));
    assert.equal(await broker.metric('weft_websockets'), sockets);

    await peer.close();
    const none = async () => (await broker.metric('weft_sessions')) === 0;
    await eventually('no session', none, 5000);
  });
}
