// DNS rebinding: the attacker's name comes to mean this machine, and his page is of the broker's own
// origin then. The name is in `Host`, and a broker on loopback asks whose it is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND } from '../harness.js';
import { HANDSHAKE, TRIES, brokerThatLists, message, newPage, publish, sitesForTests } from './sites.js';

const sites = sitesForTests();

// The page itself was loaded while the name still meant the attacker's server; all that it asks for
// goes to the broker.
async function rebound(t, broker) {
  const origin = `http://evil.test:${broker.address.split(':')[1]}`;
  const page = await newPage(t, sites);
  const fulfil = (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><p>hello' });
  await page.route(`${origin}/attack`, fulfil);
  await page.goto(`${origin}/attack`);
  return { page, origin };
}

async function tryAll({ page, origin }) {
  const read = (path) => page.evaluate(TRIES.get, { url: `${origin}${path}` });
  const post = (path, body) => page.evaluate(TRIES.post, { url: `${origin}${path}`, body });
  const handshake = JSON.stringify(HANDSHAKE);
  const jsonp = await page.evaluate(TRIES.script, `${origin}/bayeux?message=${message(HANDSHAKE)}`);
  const socket = { url: `${origin.replace('http', 'ws')}/bayeux`, text: handshake };
  return {
    bayeux: (await post('/bayeux', handshake)).status,
    publish: (await post('/publish/rebound', '1')).status,
    history: /a secret/.test((await read('/history/secret')).text),
    demo: (await read('/demo/')).status,
    events: await page.evaluate(TRIES.events, `${origin}/events/secret`),
    socket: (await page.evaluate(TRIES.socket, socket)) === 'refused' ? 'refused' : 'open',
    jsonp: jsonp.loaded,
  };
}

test('DNS rebinding: a page under a name that came to mean this machine gets nothing', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  await publish(broker, '/secret', 'a secret');
  const published = await broker.metric('weft_messages_in_total');
  assert.deepEqual(await tryAll(await rebound(t, broker)), {
    bayeux: 403,
    publish: 403,
    history: false,
    demo: 403,
    events: 'refused',
    socket: 'refused',
    jsonp: false,
  });
  assert.equal(await broker.metric('weft_handshakes_total'), 0);
  assert.equal(await broker.metric('weft_messages_in_total'), published);
});

test('the same page, where the operator names that host in `origins`, is served', BOUND, async (t) => {
  const broker = await brokerThatLists(t, ['http://evil.test']);
  await publish(broker, '/secret', 'a secret');
  assert.deepEqual(await tryAll(await rebound(t, broker)), {
    bayeux: 200,
    publish: 200,
    history: true,
    demo: 200,
    events: 'open',
    socket: 'open',
    jsonp: true,
  });
});
