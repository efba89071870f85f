// The broker stops, or is killed, and comes back under every stock client, by every transport.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests } from '../browser/pages.js';
import { BOUND, range } from '../harness.js';
import { ROWS, spoken, Stage, title } from './table.js';

const world = browserForTests();

describe('a restart', { concurrency: 5 }, () => {
  for (const row of ROWS) {
    for (const end of ['stop', 'kill']) {
      test(`${title(row)}, ${end}: A11, D2: it starts over by itself, and replays what it missed`, BOUND, async (t) => {
        const stage = await Stage.open(t, world, row, { extensions: ['Replay'] });
        const { broker, peer } = stage;
        await peer.count();
        await stage.publish(range(20));
        await peer.reaches(20);
        const before = await peer.status();
        await broker[end]();
        await broker.restart();
        // Before it is back, as a rule.
        await stage.publish(range(20, 20));
        await peer.until('a new handshake', (now) => now.handshakes > before.handshakes, 40_000);
        await stage.settles();
        await stage.publish(range(20, 40));
        const { distinct, skips } = await peer.reaches(60, 40_000);
        assert.deepEqual({ distinct, skips }, { distinct: 60, skips: [] });
        assert.equal((await peer.status()).transport, spoken(row));
      });
    }
  }
});
