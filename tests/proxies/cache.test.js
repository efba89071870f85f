// Caches that keep whatever they may. That they would keep weft's answers if these did not forbid it
// is shown as well, or the rest would prove nothing.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Broker } from '../js/harness.js';
import { publish } from './clients.js';
import { ask, connect, HANDSHAKE } from './raw.js';
import { middlebox } from './relays.js';
import { record } from './results.js';
import { INSTALLED, startProxy } from './rig.js';

const BOUND = { timeout: 60_000 };

// As of a server that says nothing about caches.
const mute = ({ 'cache-control': _, ...rest }) => ({
  ...rest,
  'last-modified': new Date(Date.now() - 86_400_000).toUTCString(),
});

const history = async (proxy) => {
  const { status, text } = await ask(proxy, '/history/cached');
  assert.equal(status, 200, text);
  return JSON.parse(text).messages.map(({ data }) => data);
};

const script = (messages) => `/bayeux?jsonp=f&message=${encodeURIComponent(JSON.stringify(messages))}`;
const read = ({ text }) => JSON.parse(/^\/\*\*\/f\((.*)\);\s*$/s.exec(text)[1]);

describe('caches', { concurrency: 3 }, () => {
  for (const kind of INSTALLED) {
    test(`${kind}: it keeps what does not forbid it`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const between = await middlebox(t, broker, { headers: mute });
      const proxy = await startProxy(t, kind, 'hostile', between);
      await publish(broker, '/cached', [1]);
      assert.deepEqual(await history(proxy), [1]);
      await publish(broker, '/cached', [2]);
      assert.deepEqual(await history(proxy), [1], 'stale, as it has to be here');
      record(t, { proxy: kind, config: 'hostile' }, 'cache, with Cache-Control taken away', 'stale');
    });

    test(`${kind}: R17: it keeps nothing of weft's, be the address the same`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = await startProxy(t, kind, 'hostile', broker);
      const published = [];
      for (const number of [1, 2, 3]) {
        await publish(proxy, '/cached', [number]);
        published.push(number);
        assert.deepEqual(await history(proxy), published);
      }
      // The same URL, letter by letter: each handshake makes a session of its own.
      const handshakes = [];
      for (const _ of [1, 2]) handshakes.push(read(await ask(proxy, script(HANDSHAKE)))[0]);
      const [first, second] = handshakes;
      assert.ok(first.clientId && second.clientId);
      assert.notEqual(first.clientId, second.clientId);
      // Each connect of the same URL gets what there is now.
      const url = script(connect(first.clientId, '1', 'callback-polling'));
      assert.equal(read(await ask(proxy, url)).length, 1);
      const subscribe = [{ channel: '/meta/subscribe', clientId: first.clientId, subscription: '/cached' }];
      assert.equal(read(await ask(proxy, script(subscribe)))[0].successful, true);
      for (const number of [4, 5]) {
        await publish(proxy, '/cached', [number]);
        const fresh = connect(first.clientId, `${number}`, 'callback-polling');
        const messages = read(await ask(proxy, script(fresh)));
        // One whose connection a proxy closes early may come twice; one from a cache would be old.
        assert.equal(messages.map(({ data }) => data).filter(Boolean).at(-1), number);
      }
      // What is refused is not kept either: it may be allowed the next time.
      const unknown = script(connect('a'.repeat(32), '1', 'callback-polling'));
      const refused = await ask(proxy, unknown);
      assert.equal(read(refused)[0].successful, false);
      for (const path of ['/history/meta/x', unknown, '/history/cached']) {
        const { headers } = await ask(proxy, path);
        assert.match(headers['cache-control'], /no-store/, path);
        assert.doesNotMatch(headers['x-cache'] ?? '', /^HIT/, path);
        assert.equal(Number(headers.age ?? 0), 0, path);
      }
      record(t, { proxy: kind, config: 'hostile' }, 'cache', 'never stale');
    });
  }

  test('nginx: told to ignore Cache-Control and cookies, it gives two clients one session', { ...BOUND, skip: !INSTALLED.includes('nginx') }, async (t) => {
    const change = (text) => text.replace('proxy_ignore_headers', '$& Cache-Control Set-Cookie');
    const proxy = await startProxy(t, 'nginx', 'hostile', await Broker.start(t), { change });
    const clients = [];
    for (const _ of [1, 2]) clients.push(read(await ask(proxy, script(HANDSHAKE)))[0].clientId);
    assert.equal(clients[0], clients[1]);
  });
});
