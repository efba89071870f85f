// Streams, as server-sent events and as lines: through proxies that let them pass, and the way round
// those that withhold them.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';
import { Broker, eventually, range } from '../js/harness.js';
import { publish } from './clients.js';
import { ask } from './raw.js';
import { middlebox } from './relays.js';
import { record } from './results.js';
import { INSTALLED, PATIENCE, startProxy } from './rig.js';

const BOUND = { timeout: 90_000 };
const CONFIG = `
[streams]
heartbeat = "${PATIENCE / 4}s"
`;
// How long a client waits for the first byte of a stream before it believes in a proxy that withholds.
const SUSPICION = 2500;

// Complete messages of what has come so far, and the id of the last.
const READERS = {
  sse: {
    path: '/events/flow',
    read(text) {
      const blocks = text.split('\n\n').slice(0, -1);
      const fields = blocks.map((block) => Object.fromEntries(block.split('\n').map(field)));
      const events = fields.filter(({ data }) => data !== undefined);
      return events.map(({ id, data }) => ({ id, ...JSON.parse(data) }));
    },
  },
  ndjson: {
    path: '/stream/flow',
    read: (text) => text.split('\n').slice(0, -1).filter(Boolean).map((line) => JSON.parse(line)),
  },
};

function field(line) {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
}

// A stream that stays open until the test ends. `beats` counts the pieces that have come.
function open(t, { address }, { path, read }, since = -1) {
  const [host, port] = address.split(':');
  const stream = { text: '', beats: 0, status: undefined, isOver: false };
  const request = http.get({ host, port, path: `${path}?since=${since}`, agent: false }, (response) => {
    stream.status = response.statusCode;
    response.setEncoding('utf8').on('data', (more) => {
      stream.text += more;
      stream.beats += 1;
    });
    response.on('close', () => {
      stream.isOver = true;
    }).on('error', () => {});
  });
  request.on('error', () => {
    stream.isOver = true;
  });
  stream.close = () => request.destroy();
  stream.messages = () => read(stream.text);
  t.after(stream.close);
  return stream;
}

const dataOf = (messages) => messages.map(({ data }) => data);

// One message after another, each of which must be there before the next is published: nobody waits
// for more to come. Then silence, which heartbeats keep from becoming an end.
async function flows(t, proxy, reader) {
  const stream = open(t, proxy, reader);
  await eventually('the stream has begun', () => stream.beats > 0, 10_000);
  for (const number of range(20)) {
    await publish(proxy, '/flow', [number]);
    await eventually(`message ${number}`, () => stream.messages().length > number, 10_000);
  }
  const before = stream.beats;
  await eventually('silence, longer than the proxy bears', () => stream.beats >= before + 6, 60_000);
  assert.equal(stream.isOver, false, 'still open');
  await publish(proxy, '/flow', range(30, 20));
  await eventually('the rest', () => stream.messages().length >= 50, 10_000);
  assert.deepEqual(dataOf(stream.messages()), range(50));
  // Somebody who lost it after the tenth goes on with the eleventh.
  const { id } = stream.messages()[9];
  const again = open(t, proxy, reader, encodeURIComponent(id));
  await eventually('all after the tenth', () => again.messages().length >= 40, 10_000);
  assert.deepEqual(dataOf(again.messages()), range(40, 10));
}

// A client that suspects: no byte in time, and it asks for what there is instead, by polling.
async function getsAll(t, proxy, reader) {
  const stream = open(t, proxy, reader, -2);
  await publish(proxy, '/flow', range(20));
  const began = Date.now();
  const came = await eventually(
    'it comes, or not',
    () => (stream.messages().length >= 20 ? 'works' : Date.now() - began > SUSPICION && 'withheld'),
  );
  const last = stream.messages().at(-1)?.position ?? -2;
  if (came === 'withheld') {
    stream.close();
    const { text } = await ask(proxy, `/history/flow?since=${last}`);
    const rest = JSON.parse(text).messages;
    assert.deepEqual(dataOf([...stream.messages(), ...rest]), range(20));
    return `withheld; polling after ${SUSPICION / 1000} s`;
  }
  assert.deepEqual(dataOf(stream.messages()), range(20));
  return 'works';
}

describe('streams', { concurrency: 5 }, () => {
  for (const [name, reader] of Object.entries(READERS)) {
    for (const kind of INSTALLED) {
      test(`${kind}, plain, ${name}: R26, R27: each message at once; heartbeats keep it open`, BOUND, async (t) => {
        const broker = await Broker.start(t, { config: CONFIG });
        const change = (text) => text.replaceAll(/\b75\b/g, PATIENCE);
        const proxy = await startProxy(t, kind, 'plain', broker, { change });
        await flows(t, proxy, reader);
        record(t, { proxy: kind, config: 'plain' }, name, 'works');
      });

      test(`${kind}, hostile, ${name}: R11: it comes, or polling does within seconds`, BOUND, async (t) => {
        const broker = await Broker.start(t, { config: CONFIG });
        const proxy = await startProxy(t, kind, 'hostile', broker);
        record(t, { proxy: kind, config: 'hostile' }, name, await getsAll(t, proxy, reader));
      });
    }

    test(`re-chunked byte by byte, ${name}: R25, R26: framing is in the data`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: CONFIG });
      const proxy = await middlebox(t, broker, { pieces: true });
      await flows(t, proxy, reader);
      record(t, { proxy: 're-chunking', config: 'hostile' }, name, 'works');
    });
  }
});
