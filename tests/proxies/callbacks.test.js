// callback-polling by stock clients in Chromium, through each proxy as it should be and as it should
// not. GETs are what caches like.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests, newContext, PagePeer } from '../js/browser/pages.js';
import { Broker, eventually, range } from '../js/harness.js';
import { held, LIBRARIES, publish, receivesAll } from './clients.js';
import { record } from './results.js';
import { HAS_BROWSER, INSTALLED, PATIENCE, startProxy } from './rig.js';

const BOUND = { timeout: 120_000 };
const HOLD = PATIENCE / 2;
const CONFIG = `
[sessions]
timeout = "${HOLD}s"
`;

const world = HAS_BROWSER ? browserForTests() : undefined;

describe('callback-polling', { concurrency: 4, skip: !HAS_BROWSER }, () => {
  for (const config of ['plain', 'hostile']) {
    for (const kind of INSTALLED) {
      test(`${kind}, ${config}: R10, R17: callback-polling: nothing lost, all in order, with 200`, BOUND, async (t) => {
        const broker = await Broker.start(t, { config: CONFIG });
        const proxy = await startProxy(t, kind, config, broker);
        let repeats = 0;
        const clients = [];
        for (const library of LIBRARIES) {
          const context = await newContext(t, world);
          const options = { library, transport: 'callback-polling' };
          const peer = await PagePeer.start(context, world, proxy, options);
          await peer.subscribe('/flow');
          clients.push({ library, peer, through: `${kind}-${config}` });
        }
        await held(broker, clients.length);
        await publish(proxy, '/flow', range(40));
        for (const client of clients) repeats += (await receivesAll(client, '/flow', range(40))).repeats;
        // Polls of a whole hold: each has an answer of its own.
        const before = clients.map(({ peer }) => peer.responses.length);
        await eventually(
          'polls come and go',
          () => clients.every(({ peer }, i) => peer.responses.length >= before[i] + 2),
        );
        await clients[0].peer.publish('/flow', 40);
        await clients[1].peer.publish('/flow', 41);
        for (const client of clients) {
          const status = await receivesAll(client, '/flow', range(42));
          assert.equal(status.transport, 'callback-polling');
          assert.equal(status.handshakes, 1, 'all in one session');
          assert.equal(status.advice.timeout, HOLD * 1000, 'it was advised');
          const statuses = client.peer.responses.map((response) => response.status());
          assert.deepEqual([...new Set(statuses)], [200], 'nothing but 200');
        }
        const found = repeats === 0 ? 'works' : 'works, with repeats';
        record(t, { proxy: kind, config }, 'callback-polling', found);
      });
    }
  }
});
