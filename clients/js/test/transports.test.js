import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { Client, CallbackPolling, LongPolling } from '../weft.js';
import { NORMAL } from './fakes.js';

// Collects requests and gives each the same answer.
async function server(t, status, answer) {
  const requests = [];
  const listening = http.createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    requests.push({ ...request, method: request.method, headers: request.headers, body });
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(answer);
  });
  await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
  t.after(() => listening.close());
  return { requests, url: `http://127.0.0.1:${listening.address().port}/bayeux` };
}

test('I3: long-polling posts a JSON array; R18: it tells every cache to keep out', async (t) => {
  const { requests, url } = await server(t, 200, '[{"channel":"/a","successful":true}]');
  const replies = await new LongPolling(url).send([{ channel: '/a', data: 'ü' }]);
  assert.deepEqual(replies, [{ channel: '/a', successful: true }]);
  const [{ method, headers, body }] = requests;
  assert.equal(method, 'POST');
  assert.match(headers['content-type'], /^application\/json/);
  assert.match(headers['cache-control'], /no-cache/);
  assert.deepEqual(JSON.parse(body), [{ channel: '/a', data: 'ü' }]);
});

test('long-polling: any other status is a failure, and so is no JSON', async (t) => {
  const refusing = await server(t, 403, 'no');
  await assert.rejects(new LongPolling(refusing.url).send([{}]), { status: 403 });
  const odd = await server(t, 200, '<html>');
  await assert.rejects(new LongPolling(odd.url).send([{}]));
});

test('long-polling: what is too long for one request is split, one message always goes', () => {
  const transport = new LongPolling('http://127.0.0.1/');
  const big = { data: 'x'.repeat(100 * 1024) };
  assert.equal(transport.fit([big, big, big]), 2);
  assert.equal(transport.fit([{ data: 'x'.repeat(900 * 1024) }, big]), 1);
  assert.equal(transport.fit([{}, {}]), 2);
});

// As much of a document as callback-polling needs; scripts wait for the test.
function fakeDocument(t) {
  const scripts = [];
  globalThis.document = {
    baseURI: 'http://127.0.0.1/page/',
    createElement: () => ({ remove() {} }),
    head: { append: (script) => scripts.push(script) },
  };
  t.after(() => delete globalThis.document);
  return scripts;
}

const query = (script) => new URL(script.src).searchParams;

test('J1: callback-polling carries messages in the address; J3: and is called back', async (t) => {
  const scripts = fakeDocument(t);
  const sending = new CallbackPolling('../bayeux').send([{ channel: '/a', data: 'a&b+c d' }]);
  const [script] = scripts;
  assert.match(script.src, /^http:\/\/127\.0\.0\.1\/bayeux\?/);
  assert.deepEqual(JSON.parse(query(script).get('message')), [{ channel: '/a', data: 'a&b+c d' }]);
  const name = query(script).get('jsonp');
  assert.match(name, /^[A-Za-z_$][\w$]{0,63}$/);
  globalThis[name]([{ channel: '/a', successful: true }]);
  assert.deepEqual(await sending, [{ channel: '/a', successful: true }]);
  assert.equal(name in globalThis, false);
});

test('R18: no two callback-polling requests have one address', async (t) => {
  const scripts = fakeDocument(t);
  const transport = new CallbackPolling('/bayeux');
  for (let i = 0; i < 3; i += 1) transport.send([{}]);
  assert.equal(new Set(scripts.map((s) => s.src)).size, 3);
  assert.ok(scripts.every((s) => query(s).get('_')));
});

test('J1: callback-polling splits before 2,000 characters and refuses what never fits', (t) => {
  const scripts = fakeDocument(t);
  const transport = new CallbackPolling('/bayeux');
  const messages = Array.from({ length: 40 }, (_, i) => ({ channel: '/a', data: `"${i}"`, id: `${i}` }));
  const count = transport.fit(messages);
  assert.ok(count > 0 && count < messages.length);
  transport.send(messages.slice(0, count));
  assert.ok(scripts[0].src.length <= 2000);
  assert.equal(transport.fit([{ data: 'x'.repeat(2000) }]), 0);
});

test('callback-polling: a script that fails or does not call is a failure; aborted ones find a function', async (t) => {
  const scripts = fakeDocument(t);
  const transport = new CallbackPolling('/bayeux');
  const failing = transport.send([{}]);
  scripts[0].onerror();
  await assert.rejects(failing, /not be loaded/);
  const silent = transport.send([{}]);
  scripts[1].onload();
  await assert.rejects(silent, /not call back/);
  const abort = new AbortController();
  const aborted = transport.send([{}], abort.signal);
  abort.abort();
  await assert.rejects(aborted, { name: 'AbortError' });
  const name = query(scripts[2]).get('jsonp');
  globalThis[name]([]);
  assert.equal(name in globalThis, false);
});

test('a client over a transport of its own: subscribe, publish, disconnect', async () => {
  const waiting = [];
  const transport = {
    type: 'pigeon',
    fit: (messages) => messages.length,
    send: (messages, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        const [first] = messages;
        const replies = messages.map(({ channel, id }) => ({ channel, id, successful: true }));
        if (first.channel === '/meta/handshake') Object.assign(replies[0], { clientId: 'c1', advice: NORMAL });
        if (first.channel === '/meta/connect' && first.id !== '2') waiting.push([resolve, replies]);
        else resolve(replies);
        if (first.channel === '/a') waiting.forEach(([held, own]) => held([{ channel: '/a', data: first.data }, ...own]));
      }),
  };
  const client = new Client('', { transport });
  const states = [];
  client.on('state', (state) => states.push(state));
  const heard = new Promise((resolve) => client.subscribe('/a', resolve));
  await client.publish('/b', 0);
  while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await client.publish('/a', 'hello');
  assert.equal((await heard).data, 'hello');
  await client.disconnect();
  assert.deepEqual(states, ['connecting', 'connected', 'unconnected']);
  assert.equal(client.state, 'unconnected');
});
