// faye has no extension for reloads: its page starts over, by whatever transport, and nothing of the
// old one is in its way. cometd's reload extension has tests of its own (browser/reload.test.js).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests } from '../browser/pages.js';
import { BOUND, eventually, range } from '../harness.js';
import { CHROMIUM, spoken, Stage, title } from './table.js';

const world = browserForTests();

describe('a reload', { concurrency: 4 }, () => {
  for (const row of CHROMIUM.filter(({ library }) => library === 'faye')) {
    test(`${title(row)}: H2, X5: a reloaded page starts over, and gets messages at once`, BOUND, async (t) => {
      const stage = await Stage.open(t, world, row);
      const { broker, peer } = stage;
      for (const round of range(3)) {
        await peer.reload();
        await peer.subscribe('/table');
        await peer.until(row.transport, ({ transport }) => transport === spoken(row), 30_000);
        await stage.publish(range(10, 10 * round));
        const { received, handshakes } = await peer.receives(10);
        assert.deepEqual(received.map(([, n]) => n), range(10, 10 * round));
        assert.equal(handshakes, 1);
        const sockets = row.transport === 'websocket' ? 1 : 0;
        const one = () => stage.is({ websockets: sockets });
        await eventually('the old page\'s socket is gone', one, 5000);
      }
      assert.equal(await broker.metric('weft_connects_demoted_total'), 0);
    });
  }
});
