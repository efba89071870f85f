// Long-polling by stock clients, through each proxy as it should be and as it should not.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Broker, eventually, range } from '../js/harness.js';
import { clientBehind, held, LIBRARIES, publish, receivesAll } from './clients.js';
import { middlebox } from './relays.js';
import { record } from './results.js';
import { INSTALLED, PATIENCE, startProxy } from './rig.js';

const BOUND = { timeout: 120_000 };
// Less than the hostile ones' patience.
const HOLD = PATIENCE / 2;
const CONFIG = `
[sessions]
timeout = "${HOLD}s"
`;

// Everything that an application does, with the proxies' limits in its way.
async function converse(t, broker, proxy, { marker = '"/flow"' } = {}) {
  const clients = await Promise.all(LIBRARIES.map((each) => clientBehind(t, proxy, each)));
  for (const { peer } of clients) await peer.subscribe('/flow');
  await held(broker, clients.length);
  await publish(proxy, '/flow', range(100));
  for (const client of clients) await receivesAll(client, '/flow', range(100));

  // Silence, for longer than a hostile proxy waits. Each poll ends before that.
  const polls = Math.ceil((1.5 * PATIENCE) / HOLD);
  const before = clients.map(({ statuses }) => statuses.length);
  await eventually(
    'polls come and go',
    () => clients.every(({ statuses }, i) => statuses.length >= before[i] + polls),
    60_000,
  );

  // The client's connection breaks with the reply in it; the proxy may or may not tell the broker.
  await held(broker, clients.length);
  for (const { wire } of clients) wire.marker = marker;
  await publish(proxy, '/flow', range(20, 100));
  let repeats = 0;
  for (const client of clients) {
    const status = await receivesAll(client, '/flow', range(120));
    assert.equal(client.wire.cuts, 1);
    repeats += status.repeats;
    assert.equal(status.handshakes, 1, 'all in one session');
    assert.equal(status.advice.timeout, HOLD * 1000, 'it was advised');
    assert.deepEqual([...new Set(client.statuses)], [200], 'nothing but 200');
  }
  await Promise.all(clients.map(({ peer, library }) => peer.publish('/own', library)));
  for (const { peer } of clients) await peer.disconnect();
  await eventually('no session is left', async () => (await broker.metric('weft_sessions')) === 0, 5000);
  return repeats === 0 ? 'works' : 'works, with repeats';
}

describe('long-polling', { concurrency: 6 }, () => {
  for (const config of ['plain', 'hostile']) {
    for (const kind of INSTALLED) {
      test(`${kind}, ${config}: R10, R13, R17: nothing lost, all in order, with 200`, BOUND, async (t) => {
        const broker = await Broker.start(t, { config: CONFIG });
        const proxy = await startProxy(t, kind, config, broker);
        record(t, { proxy: kind, config }, 'long-polling', await converse(t, broker, proxy));
      });
    }
  }

  test('re-chunked byte by byte: R25: nothing lost, all in order, with 200', BOUND, async (t) => {
    const broker = await Broker.start(t, { config: CONFIG });
    const proxy = await middlebox(t, broker, { pieces: true });
    // Where a byte is all that comes at a time, any comma may be where it breaks.
    const found = await converse(t, broker, proxy, { marker: ',' });
    record(t, { proxy: 're-chunking', config: 'hostile' }, 'long-polling', found);
  });
});
