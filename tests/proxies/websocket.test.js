// WebSocket by stock clients: through proxies that let it pass, and the way to long-polling where they
// do not.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Broker, eventually, range } from '../js/harness.js';
import { clientBehind, LIBRARIES, publish, receivesAll } from './clients.js';
import { middlebox } from './relays.js';
import { record } from './results.js';
import { INSTALLED, PATIENCE, startProxy } from './rig.js';

const BOUND = { timeout: 90_000 };
// All transports that the library has.
const ANY = {};

// With a proxy that closes what is idle: weft's pings are all there is to keep a socket open.
const PINGS = `
[websocket]
ping_interval = "${PATIENCE / 4}s"
`;
const impatient = {
  change: (text) => text.replaceAll(/\b75\b/g, PATIENCE),
  // Where Varnish has that time; the others have it in their file.
  more: { varnish: ['-p', `pipe_timeout=${PATIENCE}`] },
};

const subscribed = (broker, count) =>
  eventually(
    `${count} subscriptions`,
    async () => (await broker.metric('weft_subscriptions')) === count,
    30_000,
  );

// Silence for a good while longer than the proxy bears.
const silence = () => new Promise((resolve) => setTimeout(resolve, PATIENCE * 1500));

describe('WebSocket', { concurrency: 5 }, () => {
  for (const kind of INSTALLED) {
    test(`${kind}, plain: all arrives; pings keep idle sockets open; a cut one is replaced`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: PINGS });
      const options = { change: impatient.change, more: impatient.more[kind] };
      const proxy = await startProxy(t, kind, 'plain', broker, options);
      const clients = [];
      for (const library of LIBRARIES) {
        clients.push({ ...(await clientBehind(t, proxy, library, ANY)), mayRepeat: true });
      }
      for (const { peer, library } of clients) {
        // faye opens its socket while it shakes hands by POST, before it has a cookie. If the socket is
        // the slower one, weft takes it for a stranger's, and faye has to begin anew.
        const again = (error) => library === 'faye' ? peer.subscribe('/flow') : Promise.reject(error);
        await peer.subscribe('/flow').catch(again);
      }
      await subscribed(broker, clients.length);
      await publish(proxy, '/flow', range(100));
      for (const client of clients) {
        const { transport, repeats } = await receivesAll(client, '/flow', range(100));
        assert.equal(transport, 'websocket');
        assert.equal(repeats, 0);
      }
      const sockets = () => clients.map(({ statuses }) => statuses.filter((status) => status === 101).length);
      const before = sockets();
      await silence();
      assert.deepEqual(sockets(), before, 'still the same');
      // It breaks with a message in it, which goes again over the next one.
      for (const { wire } of clients) wire.marker = '"/flow"';
      await publish(proxy, '/flow', range(50, 100));
      for (const client of clients) {
        const { transport, handshakes } = await receivesAll(client, '/flow', range(150));
        assert.equal(client.wire.cuts, 1);
        assert.equal(transport, 'websocket');
        assert.equal(handshakes, 1, 'all in one session');
      }
      record(t, { proxy: kind, config: 'plain' }, 'websocket', 'works');
    });

    test(`${kind}, hostile: R38: the upgrade is refused, and long-polling found at once`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = await startProxy(t, kind, 'hostile', broker);
      for (const library of LIBRARIES) {
        const began = Date.now();
        const client = await clientBehind(t, proxy, library, ANY);
        await client.peer.subscribe(`/${library}`);
        const seconds = (Date.now() - began) / 1000;
        await publish(proxy, `/${library}`, range(20));
        const { transport } = await receivesAll(client, `/${library}`, range(20));
        assert.equal(transport, 'long-polling');
        assert.ok(seconds < 10, `${seconds} s`);
        const refusal = client.statuses.find((status) => status !== 200);
        assert.ok(refusal >= 400, `it was asked: ${client.statuses}`);
        record(t, { proxy: kind, config: 'hostile' }, `websocket, ${library}`, { refusal, seconds });
      }
    });
  }
});

// Agreed to, and then silent. What each client makes of that.
async function swallowed(t, library, options, config = '') {
  const broker = await Broker.start(t, { config });
  const proxy = await middlebox(t, broker, { swallows: true });
  const began = Date.now();
  const client = await clientBehind(t, proxy, library, options);
  await client.peer.subscribe('/flow');
  const seconds = (Date.now() - began) / 1000;
  await publish(broker, '/flow', range(20));
  const { transport } = await receivesAll(client, '/flow', range(20));
  assert.equal(transport, 'long-polling');
  assert.ok(seconds < 10, `${seconds} s`);
  return { seconds, sockets: client.statuses.filter((status) => status === 101).length };
}

describe('a WebSocket that passes nothing', { concurrency: 4 }, () => {
  test('cometd: R38: told not to insist, it falls back within seconds', BOUND, async (t) => {
    const configuration = { stickyReconnect: false, maxNetworkDelay: 2000 };
    const { seconds, sockets } = await swallowed(t, 'cometd', { configuration });
    assert.ok(sockets >= 1, 'it was tried');
    record(t, { proxy: 'swallowing', config: 'hostile' }, 'websocket, cometd', { seconds });
  });

  // cometd.js tries by its own list, whatever the broker offers; faye asks first.
  test('faye: R38: with bayeux.websocket = false it does not try', BOUND, async (t) => {
    const { seconds } = await swallowed(t, 'faye', ANY, '[bayeux]\nwebsocket = false\n');
    const about = 'bayeux.websocket = false, faye';
    record(t, { proxy: 'swallowing', config: 'hostile' }, about, { seconds });
  });
});
