// cometd's remoteCall, and faye's publishing to /service, answered by a hook.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf } from '../harness.js';
import { Hook } from '../hook.js';
import { NodePeer } from '../peers.js';

// What the hook says of calls; all else it allows.
function answer({ event, channel, data }) {
  if (event !== 'service') return { allow: true };
  switch (channel) {
    case '/service/sum':
      return { allow: true, data: { sum: data.reduce((sum, n) => sum + n, 0) } };
    case '/service/denied':
      return { allow: false, error: 'not today' };
    case '/service/failed':
      return { allow: false, data: { reason: 'no such order' } };
    case '/service/silent':
      return undefined;
    default:
      return { allow: true };
  }
}

async function setUp(t, transport, more = '') {
  const hook = await Hook.start(t, answer);
  const config = `[hook]\nurl = "${hook.url}"\n${more}\n`;
  const broker = await Broker.start(t, { config });
  const peer = await NodePeer.start(t, 'cometd', broker.url, { transport });
  return { hook, broker, peer };
}

for (const transport of ['long-polling', 'websocket']) {
  test(`G2, G4: a remote call is answered, over ${transport}`, BOUND, async (t) => {
    const { broker, peer } = await setUp(t, transport);
    const other = await NodePeer.start(t, 'cometd', broker.url, { transport });
    await other.subscribe('/service/sum');
    await other.subscribe('/**');
    const { successful, data, channel } = await peer.call('remoteCall', 'sum', [1, 2, 39], 10_000);
    assert.deepEqual([successful, data, channel], [true, { sum: 42 }, '/service/sum']);
    // Many at once, each with its own answer.
    const sums = await Promise.all(
      [...Array(20).keys()].map((n) => peer.call('remoteCall', 'sum', [n, n], 10_000)),
    );
    assert.deepEqual(sums.map(({ data: { sum } }) => sum), [...Array(20).keys()].map((n) => 2 * n));
    await peer.publish('/end', 1);
    const ended = (status) => dataOf(status, '/end').length > 0;
    // cometd shows its own /meta messages to whoever subscribes to all.
    const { received } = await other.until('the end', ended);
    assert.deepEqual(received.filter(([name]) => !name.startsWith('/meta/')), [['/end', 1]]);
  });

  test(`G2: a remote call that fails fails at once, over ${transport}`, BOUND, async (t) => {
    const { peer } = await setUp(t, transport, 'services = ["/service/*"]');
    const denied = await peer.call('remoteCall', 'denied', {}, 60_000);
    assert.deepEqual([denied.successful, denied.error], [false, '403:/service/denied:not today']);
    const failed = await peer.call('remoteCall', 'failed', {}, 60_000);
    assert.deepEqual([failed.successful, failed.data], [false, { reason: 'no such order' }]);
    const unknown = await peer.call('remoteCall', 'some/where', {}, 60_000);
    const error = '404:/service/some/where:service_unknown';
    assert.deepEqual([unknown.successful, unknown.error], [false, error]);
  });

  test(`G2: a hook that does not answer fails the call within its time, over ${transport}`, BOUND, async (t) => {
    const { peer } = await setUp(t, transport, 'timeout = "300ms"');
    const silent = await peer.call('remoteCall', 'silent', {}, 60_000);
    assert.deepEqual([silent.successful, silent.error], [false, '503:/service/silent:hook_unavailable']);
    // Without an answer the client's own timeout is all there is.
    const mute = await peer.call('remoteCall', 'mute', {}, 500);
    assert.deepEqual([mute.successful, mute.error], [false, '406::timeout']);
    assert.equal((await peer.call('remoteCall', 'sum', [1], 10_000)).data.sum, 1);
  });
}

for (const transport of ['long-polling', 'websocket']) {
  test(`G2: what faye publishes to /service is answered to it alone, over ${transport}`, BOUND, async (t) => {
    const { broker, hook } = await setUp(t, 'long-polling');
    const [caller, other] = await Promise.all([
      NodePeer.start(t, 'faye', broker.url, { transport }),
      NodePeer.start(t, 'faye', broker.url, { transport }),
    ]);
    await caller.subscribe('/service/sum');
    await other.subscribe('/service/sum');
    await caller.publish('/service/sum', [20, 22]);
    assert.deepEqual(dataOf(await caller.receives(1), '/service/sum'), [{ sum: 42 }]);
    await assert.rejects(caller.publish('/service/denied', 1));
    await caller.publish('/service/sum', [1]);
    assert.deepEqual(dataOf(await caller.receives(2), '/service/sum'), [{ sum: 42 }, { sum: 1 }]);
    assert.deepEqual((await other.status()).received, []);
    assert.equal(hook.asked.filter(({ event }) => event === 'service').length, 3);
  });
}
