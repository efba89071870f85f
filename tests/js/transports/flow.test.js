// Every stock client by every transport that it knows: it uses that one, and no other.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests } from '../browser/pages.js';
import { BOUND, range } from '../harness.js';
import { ROWS, spoken, Stage, title } from './table.js';

const world = browserForTests();
const COUNT = 200;
// What is asked for once all is set up: nothing by a socket; and a stream carries no publications.
const ASKS = { websocket: [], eventsource: ['long-polling'] };

describe('publish and receive', { concurrency: 4 }, () => {
  for (const row of ROWS) {
    test(`${title(row)}: A8, X5: all messages come once and in order, by this transport`, BOUND, async (t) => {
      const stage = await Stage.open(t, world, row);
      const { broker, network, peer } = stage;
      assert.equal(await broker.metric('weft_websockets'), row.transport === 'websocket' ? 1 : 0);
      network.watch();
      await peer.count();
      for (let n = 0; n < COUNT; n += 10) await stage.publish(range(10, n));
      await peer.reaches(COUNT);
      // What it publishes itself comes back to it.
      for (const n of range(10, COUNT)) await peer.publish('/table', n);
      const { distinct, skips, repeats } = await peer.reaches(COUNT + 10);
      assert.deepEqual({ distinct, skips, repeats }, { distinct: COUNT + 10, skips: [], repeats: 0 });

      const { transport, handshakes } = await peer.status();
      assert.equal(transport, spoken(row));
      assert.equal(handshakes, 1);
      assert.equal(await broker.metric('weft_sessions'), 1);
      assert.deepEqual(Object.keys(network.events), [row.transport]);
      assert.deepEqual(Object.keys(network.requests), ASKS[row.transport] ?? [row.transport]);
    });
  }
});
