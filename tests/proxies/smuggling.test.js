// Request smuggling: whatever a client sends, no request of his gets past the proxy's rules, and none
// of another client's gets an answer that is not its own.
import assert from 'node:assert/strict';
import { createServer, connect } from 'node:net';
import { describe, test } from 'node:test';
import { Broker, range } from '../js/harness.js';
import { ask } from './raw.js';
import { record } from './results.js';
import { INSTALLED, startProxy } from './rig.js';
import { ALONE, ATTACKS, exchange, send } from './smuggling.js';

const BOUND = { timeout: 180_000 };

// Nobody publishes through the proxy, and connections to weft are everybody's as far as it goes.
const GUARDED = {
  nginx: (text) => text.replace('location / {', 'location /publish { return 403; }\n    location / {'),
  haproxy: (text) =>
    text
      .replace('default_backend weft', 'http-request normalize-uri path-strip-dotdot\n    http-request deny if { path_beg /publish }\n    default_backend weft')
      .replace('server weft', 'http-reuse always\n    server weft'),
};
const KINDS = Object.keys(GUARDED).filter((kind) => INSTALLED.includes(kind));
const FRAMES = {
  // `normalize-uri` is an experiment there.
  haproxy: (text) => `${text}  expose-experimental-directives\n`,
};

const behind = (t, kind, broker) =>
  startProxy(t, kind, 'plain', broker, { change: GUARDED[kind], frame: FRAMES[kind] });

const smuggled = async (broker) => JSON.parse((await ask(broker, '/history/smuggled')).text).messages.length;

// Other clients, at the same time: each gets the answer to what it asked.
async function victims(proxy, round) {
  const names = range(3).map((index) => `/victim/${round}/${index}`);
  const answers = await Promise.all(names.map((name) => ask(proxy, `/history${name}`)));
  for (const [index, { status, text }] of answers.entries()) {
    assert.equal(status, 200, text);
    assert.equal(JSON.parse(text).channel, names[index]);
  }
}

describe('request smuggling', { concurrency: 2 }, () => {
  for (const kind of KINDS) {
    test(`${kind}: nothing is smuggled past it, and nobody gets another's answer`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = await behind(t, kind, broker);
      assert.equal((await ask(proxy, '/publish/smuggled', { method: 'POST', body: '1' })).status, 403);
      await victims(proxy, 'before');
      for (const [round, [name, bytes]] of ATTACKS.entries()) {
        const sent = send(proxy, bytes);
        await Promise.all([victims(proxy, round), sent]);
        await victims(proxy, `${round}/after`);
        assert.equal(await smuggled(broker), 0, `${name}\n${await sent}`);
      }
      record(t, { proxy: kind, config: 'plain' }, 'smuggling', `${ATTACKS.length} refused`);
    });

    test(`${kind}: no header comes of a path, an underscore or a fold`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = await behind(t, kind, broker);
      for (const path of [
        '/history/a%0d%0aX-Injected:%20yes',
        '/bayeux/%0d%0aSet-Cookie:%20a=b',
        '/demo%0d%0aX-Injected:%20yes',
        '/%0d%0aLocation:%20http://evil.test/',
        '/bayeux?message=%0d%0aX-Injected:%20yes&jsonp=%0d%0aX-Injected:%20yes',
        '/events/a%0d%0aX-Injected:%20yes',
        '/%E5%98%8D%E5%98%8AX-Injected:%20yes',
      ]) {
        const { headers } = await ask(proxy, path);
        assert.deepEqual([headers['x-injected'], headers['set-cookie'], headers.location], [undefined, undefined, undefined], path);
      }
      // Told as folded into another header, or by a name with an underscore, Origin is no Origin; told
      // as such it is foreign: so either is judged, and neither is let in for another.
      for (const line of ['X-Folded: a\r\n Origin: http://evil.test', 'X_Origin: http://evil.test']) {
        const text = await send(proxy, `GET /history/a HTTP/1.1\r\nHost: 127.0.0.1\r\n${line}\r\n\r\n`);
        assert.match(text, /^HTTP\/1\.1 (200|400)/, line);
      }
      const foreign = await ask(proxy, '/history/a', { headers: { origin: 'http://evil.test' } });
      assert.equal(foreign.status, 403);
    });

    test(`${kind}: an upgrade to h2c opens no tunnel`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = await behind(t, kind, broker);
      const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0';
      for (const connection of ['Upgrade, HTTP2-Settings', 'Upgrade']) {
        for (const method of ['GET /bayeux', 'GET /history/a', 'OPTIONS /bayeux', 'GET /demo/']) {
          const lines = [
            `${method} HTTP/1.1`,
            'Host: 127.0.0.1',
            `Connection: ${connection}`,
            'Upgrade: h2c',
            'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
          ];
          const text = await send(proxy, `${lines.join('\r\n')}\r\n\r\n${preface}`);
          assert.match(text, /^HTTP\/1\.1 \d/, text);
          assert.doesNotMatch(text, /^HTTP\/1\.1 101|\r\nupgrade: h2c/i, text);
          // A frame of SETTINGS is what HTTP/2 would begin with.
          assert.ok(!/\0\0.\x04[\0\x01]\0\0\0\0/s.test(text), text);
        }
      }
      const socket = ['GET /bayeux HTTP/1.1', 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: websocket'];
      const key = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];
      const text = await send(proxy, `${[...socket, ...key].join('\r\n')}\r\n\r\n`);
      assert.match(text, /^HTTP\/1\.1 101/, 'one to websocket does');
    });
  }

  test('weft alone: a body is never the next request, and what is ambiguous is the last one', BOUND, async (t) => {
    const broker = await Broker.start(t);
    for (const [name, bytes] of ALONE) {
      const { text, ended } = await exchange(broker, bytes);
      assert.equal(await smuggled(broker), 0, `${name}\n${text}`);
      if (/^CL\.TE "Transfer-Encoding:/.test(name)) assert.ok(ended, `${name}\n${text}`);
    }
  });

  test('a proxy that goes by Content-Length, and passes Transfer-Encoding on in its place, is seen through', BOUND, async (t) => {
    const broker = await Broker.start(t);
    const proxy = await naive(t, broker);
    assert.match(await send(proxy, 'POST /publish/smuggled HTTP/1.1\r\nContent-Length: 1\r\n\r\n1'), /^HTTP\/1\.1 403/);
    assert.equal(await smuggled(broker), 0);
    const [, bytes] = ATTACKS.find(([name]) => name.startsWith('CL.TE'));
    await send(proxy, bytes);
    assert.equal(await smuggled(broker), 1, 'the attack works where two servers disagree');
  });
});

// What the attacks are made for.
async function naive(t, broker) {
  const server = createServer((client) => {
    const upstream = connect(Number(broker.address.split(':')[1]), '127.0.0.1');
    let text = '';
    client.on('data', (more) => {
      text += more.toString('latin1');
      const end = text.indexOf('\r\n\r\n') + 4;
      const [, length] = /\r\nContent-Length: (\d+)/.exec(text) ?? [];
      if (end < 4 || text.length < end + Number(length ?? 0)) return;
      if (text.startsWith('POST /publish')) client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      else upstream.write(text.replace(/Content-Length: \d+\r\n/, ''), 'latin1');
      text = '';
    });
    upstream.pipe(client);
    for (const socket of [client, upstream]) {
      socket.on('error', () => {}).on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return { address: `127.0.0.1:${server.address().port}` };
}
