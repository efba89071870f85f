// A site with a name of its own in front of weft on loopback: Host, Origin, cookies, bodies, HTTP/2.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import http2 from 'node:http2';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Broker, range } from '../js/harness.js';
import { held } from './clients.js';
import { HANDSHAKE, post, session } from './raw.js';
import { record } from './results.js';
import { INSTALLED, startProxy } from './rig.js';

const BOUND = { timeout: 60_000 };
const SITE = 'app.example.com';
const MEGABYTE = 1 << 20;

describe('a site of its own', { concurrency: 3 }, () => {
  for (const kind of INSTALLED) {
    test(`${kind}: its Host must be named in origins; then its pages may, and foreign ones may not`, BOUND, async (t) => {
      const handshake = (proxy, headers) => post(proxy, '/bayeux', HANDSHAKE, { host: SITE, ...headers });
      const unnamed = await startProxy(t, kind, 'plain', await Broker.start(t));
      assert.equal((await handshake(unnamed)).status, 403);

      const broker = await Broker.start(t, { config: `origins = ["https://${SITE}"]` });
      const proxy = await startProxy(t, kind, 'plain', broker);
      const reply = await handshake(proxy, { origin: `https://${SITE}` });
      assert.equal(reply.status, 200, reply.text);
      assert.match(reply.headers['set-cookie'][0], /^BAYEUX_BROWSER=/);
      const foreign = await handshake(proxy, { origin: 'https://elsewhere.example' });
      assert.equal(foreign.status, 403);
      record(t, { proxy: kind, config: 'plain' }, 'Host, Origin and cookie', 'pass');
    });

    test(`${kind}: a body of a megabyte passes, and weft says what is wrong with a larger one`, BOUND, async (t) => {
      const proxy = await startProxy(t, kind, 'plain', await Broker.start(t));
      const sized = (bytes) => JSON.stringify('x'.repeat(bytes - 2));
      const largest = await post(proxy, '/publish/large', sized(MEGABYTE));
      assert.equal(largest.status, 200, largest.text);
      const larger = await post(proxy, '/publish/large', sized(MEGABYTE + 1));
      assert.equal(larger.status, 413);
      assert.match(larger.text, /too_large|too large|larger/i);
      record(t, { proxy: kind, config: 'plain' }, 'body of 1 MiB', 'passes');
    });
  }
});

// Three tabs of one browser, on its one connection to the proxy. Returns how they can poll.
async function tabs(t, perBrowser) {
  const config = `[browsers]\nheld_per_browser = ${perBrowser}\n`;
  const broker = await Broker.start(t, { config });
  const prepare = (directory) =>
    execFileSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', '/CN=localhost', '-days', '2'],
      ...['-out', join(directory, 'certificate.pem'), '-keyout', join(directory, 'key.pem')],
    ], { stdio: 'ignore' });
  const proxy = await startProxy(t, 'nginx', 'http2', broker, { prepare });
  const connection = http2.connect(`https://${proxy.address}`, { rejectUnauthorized: false });
  t.after(() => connection.destroy());
  let cookie;
  const send = (path) => async (messages) => {
    const headers = { ':method': 'POST', ':path': path, ...(cookie && { cookie }) };
    const stream = connection.request(headers).end(JSON.stringify(messages));
    let text = '';
    stream.on('response', (answer) => {
      cookie ??= answer['set-cookie']?.[0].split(';')[0];
    });
    for await (const more of stream.setEncoding('utf8')) text += more;
    return { text };
  };
  const sessions = [];
  for (const _ of range(3)) sessions.push(await session(send('/bayeux')));
  assert.match(cookie, /^BAYEUX_BROWSER=/);
  assert.equal(connection.alpnProtocol, 'h2');
  return { broker, sessions, send };
}

describe('HTTP/2', { skip: !INSTALLED.includes('nginx') }, () => {
  test('R6b: with held_per_browser = -1 all tabs poll at once over one connection', BOUND, async (t) => {
    const { broker, sessions, send } = await tabs(t, -1);
    const polls = sessions.map((each) => each.poll());
    await held(broker, sessions.length);
    const [outcome] = JSON.parse((await send('/publish')([{ channel: '/tabs', data: 1 }])).text);
    assert.equal(outcome.channel, '/tabs', 'nobody stands in its way');
    for (const { clientId } of sessions) {
      await send('/bayeux')([{ channel: '/meta/disconnect', clientId }]);
    }
    for (const { text } of await Promise.all(polls)) assert.doesNotMatch(text, /multiple-clients/);
    record(t, { proxy: 'nginx', config: 'http2' }, 'three tabs', 'all held');
  });

  test('R6a: with held_per_browser = 1, one is held and the others are asked to poll', BOUND, async (t) => {
    const { broker, sessions } = await tabs(t, 1);
    const polls = sessions.map((each) => each.poll().then(({ text }) => text.includes('multiple-clients')));
    assert.ok(await Promise.any(polls.map(async (poll) => (await poll) || Promise.reject())));
    await held(broker, 1);
  });
});
