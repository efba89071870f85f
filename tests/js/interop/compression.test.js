// gzip with clients as they are: who asks for it gets it and understands it, and who does not is
// left alone.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { BOUND, Broker, dataOf, range } from '../harness.js';
import { NodePeer } from '../peers.js';

const TEXT = 'ünïcödé " \\ 🧵';

// Passes everything on, and keeps the heads that passed.
async function listener(t, broker) {
  let asked = '';
  let answered = '';
  const server = createServer((client) => {
    const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
    for (const [one, other] of [[client, upstream], [upstream, client]]) {
      one.on('error', () => {}).on('close', () => other.destroy());
    }
    client.on('data', (chunk) => {
      asked += chunk.toString('latin1');
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      answered += chunk.toString('latin1');
      client.write(chunk);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return {
    url: `http://127.0.0.1:${server.address().port}/bayeux`,
    asks: () => /^accept-encoding: .*gzip/im.test(asked),
    compresses: () => /^content-encoding: gzip/im.test(answered),
  };
}

// cometd-nodejs-client and faye ask for nothing in node; our own client's `fetch` does.
for (const [library, asks] of [['cometd', false], ['faye', false], ['weft', true]]) {
  test(`${library}: R20, R24: large batches in node, ${asks ? 'compressed' : 'as they are'}`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const way = await listener(t, broker);
    const publisher = await NodePeer.start(t, 'cometd', broker.url, { transport: 'long-polling' });
    const subscriber = await NodePeer.start(t, library, way.url, { transport: 'long-polling' });
    await subscriber.subscribe('/large');
    await publisher.batch(range(300).map((n) => ['/large', { n, text: TEXT }]));
    const status = await subscriber.receives(300);
    assert.deepEqual(dataOf(status, '/large'), range(300).map((n) => ({ n, text: TEXT })));
    assert.deepEqual([way.asks(), way.compresses()], [asks, asks]);
  });
}

test('curl --compressed reads what curl reads without', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const lines = range(200).map((n) => JSON.stringify({ channel: '/curl', data: { n, text: TEXT } }));
  const headers = { 'Content-Type': 'application/x-ndjson' };
  const sent = await fetch(`${broker.origin}/publish`, { method: 'POST', headers, body: lines.join('\n') });
  assert.equal((await sent.text()).trim().split('\n').length, 200);
  const curl = async (...args) => {
    const all = ['-sS', '-w', '%{stderr}%{size_download}', ...args, `${broker.origin}/history/curl`];
    return promisify(execFile)('curl', all);
  };
  const [packed, plain] = [await curl('--compressed'), await curl()];
  assert.equal(packed.stdout, plain.stdout);
  assert.equal(JSON.parse(packed.stdout).messages.length, 100);
  assert.ok(Number(packed.stderr) * 3 < Number(plain.stderr), `${packed.stderr} of ${plain.stderr}`);
});
