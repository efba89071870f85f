// HTTP/2 over TLS: tabs share a connection, and each of them waits.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { browserForTests, newContext, PagePeer } from './pages.js';

const world = browserForTests();
const TABS = 8;

// A broker with a certificate that is made up.
async function secured(t, more = '') {
  const directory = await mkdtemp(join(tmpdir(), 'weft-tls-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(directory, name));
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  execFileSync('openssl', [...made, '-days', '2', ...names, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  const config = `[tls]\ncert = "${cert}"\nkey = "${key}"\n${more}`;
  return Broker.start(t, { config, scheme: 'https' });
}

const protocols = (tab) =>
  tab.page.evaluate(() => {
    const entries = performance.getEntriesByType('resource');
    const ours = entries.filter(({ name }) => name.startsWith(location.origin));
    return [...new Set(ours.map(({ nextHopProtocol }) => nextHopProtocol))];
  });

for (const library of ['cometd', 'faye']) {
  test(`${library}, ${TABS} tabs over HTTP/2: R6b, R5: all of them wait, and nobody is asked to poll`, BOUND, async (t) => {
    const broker = await secured(t);
    const context = await newContext(t, world);
    const tabs = [];
    for (let i = 0; i < TABS; i += 1) {
      const tab = await PagePeer.start(context, world, broker, { library, transport: 'long-polling' });
      await tab.subscribe('/tabs');
      tabs.push(tab);
    }
    const all = async () => (await broker.metric('weft_held_connects')) === TABS;
    await eventually('all are held', all);
    for (const n of range(3)) {
      await tabs[n].publish('/tabs', n);
      await Promise.all(tabs.map((tab) => tab.receives(n + 1)));
    }
    await eventually('all are held again', all);
    for (const tab of tabs) {
      assert.deepEqual((await tab.status()).received, range(3).map((n) => ['/tabs', n]));
      assert.deepEqual(await protocols(tab), ['h2']);
    }
    assert.equal(await broker.metric('weft_connects_demoted_total'), 0);
  });
}

test('without HTTP/2: R5: tabs over TLS share six connections, and one of them waits', BOUND, async (t) => {
  const broker = await secured(t, '[http]\nhttp2 = false\n');
  const context = await newContext(t, world);
  const options = { library: 'cometd', transport: 'long-polling' };
  await PagePeer.start(context, world, broker, options);
  const tab = await PagePeer.start(context, world, broker, options);
  const demoted = async () => (await broker.metric('weft_connects_demoted_total')) >= 1;
  await eventually('one has been told', demoted);
  assert.deepEqual(await protocols(tab), ['http/1.1']);
});

test('cometd: a WebSocket beside HTTP/2 has a connection of its own', BOUND, async (t) => {
  const broker = await secured(t);
  const context = await newContext(t, world);
  const polls = await PagePeer.start(context, world, broker, { library: 'cometd', transport: 'long-polling' });
  const socket = await PagePeer.start(context, world, broker, { library: 'cometd', transport: 'websocket' });
  for (const tab of [polls, socket]) await tab.subscribe('/both');
  await polls.publish('/both', 1);
  await Promise.all([polls, socket].map((tab) => tab.receives(1)));
  assert.equal(await broker.metric('weft_websockets'), 1);
  assert.deepEqual(await protocols(polls), ['h2']);
});
