// Holds that are longer than a proxy waits: what the client is told then, and that it loses nothing.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Broker, eventually, range } from '../js/harness.js';
import { clientBehind, held, LIBRARIES, publish, receivesAll } from './clients.js';
import { record } from './results.js';
import { INSTALLED, PATIENCE, startProxy } from './rig.js';

const BOUND = { timeout: 120_000 };
const TURNS = 2;
const CONFIG = `
[sessions]
timeout = "${PATIENCE * 3}s"
`;
// What each makes of a response that does not come.
const SAYS = { nginx: 408, haproxy: 504, varnish: 503, squid: 504, apache: 502 };

describe('holds too long', { concurrency: 5 }, () => {
  for (const kind of INSTALLED) {
    test(`${kind}: R10: ${SAYS[kind]} by the proxy costs a client time, and nothing else`, BOUND, async (t) => {
      const broker = await Broker.start(t, { config: CONFIG });
      const proxy = await startProxy(t, kind, 'hostile', broker);
      const clients = await Promise.all(LIBRARIES.map((each) => clientBehind(t, proxy, each)));
      for (const { peer } of clients) await peer.subscribe('/flow');
      await held(broker, clients.length);
      const refusals = ({ statuses }) => statuses.filter((status) => status !== 200);
      // What is published as one is turned away finds the other about to be, or away.
      let sent = 0;
      for (const turn of range(TURNS, 1)) {
        const isTurnedAway = (client) => refusals(client).length >= turn;
        for (const those of [clients.some, clients.every]) {
          await eventually(`turned away, ${turn}`, () => those.call(clients, isTurnedAway), 30_000);
          await publish(proxy, '/flow', [sent]);
          sent += 1;
        }
      }
      await publish(proxy, '/flow', range(10, sent));
      for (const client of clients) {
        const status = await receivesAll(client, '/flow', range(sent + 10));
        assert.equal(status.handshakes, 1, 'all in one session');
        assert.deepEqual([...new Set(refusals(client))], [SAYS[kind]]);
      }
      record(t, { proxy: kind, config: 'hostile' }, 'hold longer than its patience', SAYS[kind]);
    });
  }
});
