// Another site's page reads nothing, and takes nothing from who may read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND } from '../harness.js';
import { HANDSHAKE, TRIES, brokerThatLists, message, newPage, publish, session, sitesForTests } from './sites.js';

const sites = sitesForTests();

test('R32, K3: JSONP of a foreign page: nothing is heard, and no session made', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  const url = `${broker.url}?message=${message(HANDSHAKE)}`;
  const foreign = await newPage(t, sites, sites.evil);
  assert.deepEqual(await foreign.evaluate(TRIES.script, url), { loaded: false, heard: null });
  assert.equal(await broker.metric('weft_handshakes_total'), 0);
  const listed = await newPage(t, sites, sites.listed);
  const { loaded, heard } = await listed.evaluate(TRIES.script, url);
  assert.ok(loaded && heard[0].successful, 'the same page of a listed site may');
});

test('R32, K3: JSONP of a foreign page that knows a clientId takes no messages from its owner', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  const owner = await session(broker, '/secret');
  await publish(broker, '/secret', 'for the owner');
  const connect = [
    { channel: '/meta/connect', clientId: owner.clientId, connectionType: 'callback-polling', advice: { timeout: 0 } },
  ];
  const url = `${broker.url}?message=${message(connect)}`;
  const foreign = await newPage(t, sites, sites.evil);
  assert.deepEqual(await foreign.evaluate(TRIES.script, url), { loaded: false, heard: null });
  const received = (await owner.connect()).filter(({ channel }) => channel === '/secret');
  assert.deepEqual(received.map(({ data }) => data), ['for the owner']);
  await publish(broker, '/secret', 'for whoever has the id');
  const listed = await newPage(t, sites, sites.listed);
  const { heard } = await listed.evaluate(TRIES.script, url);
  assert.ok(heard.some(({ data }) => data === 'for whoever has the id'), 'a listed site may');
});

// What each reads if it may: by `fetch`, readable or not, and by what else holds a connection.
const READS = {
  'POST to Bayeux': (page, broker) =>
    page.evaluate(TRIES.post, { url: broker.url, body: JSON.stringify(HANDSHAKE) }).then(text),
  'GET /history': (page, broker) =>
    page.evaluate(TRIES.get, { url: `${broker.origin}/history/secret` }).then(text),
  'GET /openapi.json': (page, broker) =>
    page.evaluate(TRIES.get, { url: `${broker.origin}/openapi.json` }).then(text),
  'EventSource on /events': (page, broker) =>
    page.evaluate(TRIES.events, `${broker.origin}/events/secret?since=-2`),
  WebSocket: (page, broker) =>
    page.evaluate(TRIES.socket, { url: broker.url.replace('http', 'ws'), text: JSON.stringify(HANDSHAKE) }),
};

const text = ({ failed, text: read }) => (failed ? 'refused' : read);

for (const [name, read] of Object.entries(READS)) {
  test(`R32, K3: ${name}, with credentials: a listed site's page reads, a foreign one does not`, BOUND, async (t) => {
    const broker = await brokerThatLists(t, [sites.listed]);
    await publish(broker, '/secret', 'a secret');
    const victim = await newPage(t, sites, sites.listed);
    const read1 = await read(victim, broker);
    assert.match(read1, /a secret|successful|openapi|open/);
    const before = await broker.metric('weft_handshakes_total');
    // In the same browser, which has the broker's cookie by now.
    await victim.goto(sites.evil);
    assert.equal(await read(victim, broker), 'refused');
    assert.equal(await broker.metric('weft_handshakes_total'), before);
  });
}

async function refusals(broker) {
  const metrics = await (await fetch(`http://${broker.admin}/metrics`)).text();
  return Number(/^weft_responses_total{status="4xx"} (\d+)/m.exec(metrics)?.[1] ?? 0);
}

test('R32: what is loaded without CORS is refused, too: nothing of it could be read, but it would be held', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  // Chromium looks at the beginning of some bodies first, for as long as it takes.
  const load = (url) =>
    Promise.race([
      fetch(url, { mode: 'no-cors', credentials: 'include' }).then(
        () => 'begun',
        () => 'refused',
      ),
      new Promise((resolve) => setTimeout(resolve, 1000, 'begun')),
    ]);
  const foreign = await newPage(t, sites, sites.evil);
  const listed = await newPage(t, sites, sites.listed);
  for (const path of ['/events/a', '/stream/a', '/history/a']) {
    const url = `${broker.origin}${path}`;
    const before = await refusals(broker);
    assert.equal(await foreign.evaluate(load, url), 'refused', path);
    assert.equal(await refusals(broker), before + 1, path);
    assert.equal(await listed.evaluate(load, url), 'begun', path);
    assert.equal(await refusals(broker), before + 1, path);
  }
});
