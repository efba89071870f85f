// Every stock client by every transport, over a network that goes away for five seconds.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests } from '../browser/pages.js';
import { BOUND, range } from '../harness.js';
import { hasAck, ROWS, spoken, Stage, title } from './table.js';

const world = browserForTests();
const FIVE_SECONDS = 5000;
// A connect is answered often enough that a dead network is noticed within seconds.
const CONFIG = `
[sessions]
timeout = "2s"
[websocket]
ping_interval = "1s"
pong_timeout = "1s"
`;
const ALL = process.env.WEFT_LONG ? ['closed', 'dead', 'held'] : ['closed', 'held'];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A dead socket that its client does not notice is no network that came back. What JSONP makes of
// scripts that come seconds late is looked at in the long form alone.
const possible = ({ library, transport }, how) =>
  (how !== 'dead' || library === 'cometd') &&
  (how !== 'held' || transport !== 'callback-polling' || process.env.WEFT_LONG);

// What went out and is not proven comes again to those who do not acknowledge: the messages before the
// break, and, where the network holds on to them so that nobody knows of it, those that left since, in
// however few replies. A socket that is only late is given up by both sides, and what was under way by it
// comes besides; whoever acknowledges by polls has asked again by then.
function mayRepeat(row, how) {
  const socket = ['websocket', 'eventsource'].includes(row.transport);
  if (how === 'held' && (socket || !hasAck(row))) return 100;
  return hasAck(row) ? 0 : 20;
}

describe('a cut of five seconds', { concurrency: 5 }, () => {
  for (const row of ROWS) {
    for (const how of ALL.filter((how) => possible(row, how))) {
      test(`${title(row)}, ${how}: A11, D2, P2: the session goes on, and nothing is lost`, BOUND, async (t) => {
        const stage = await Stage.open(t, world, row, { config: CONFIG });
        const { broker, network, peer } = stage;
        await peer.count();
        await stage.publish(range(20));
        await peer.reaches(20);
        network.cut(how);
        const cut = pause(FIVE_SECONDS);
        for (let n = 20; n < 100; n += 20) await stage.publish(range(20, n));
        await cut;
        network.mend();
        await stage.publish(range(20, 100));
        const { distinct, skips, repeats } = await peer.reaches(120, 40_000);
        assert.deepEqual({ distinct, skips }, { distinct: 120, skips: [] });
        assert.ok(repeats <= mayRepeat(row, how), `${repeats} came twice`);
        t.diagnostic(`${repeats} came twice`);
        const { transport, handshakes } = await peer.status();
        assert.equal(handshakes, 1, 'the session went on');
        assert.equal(transport, spoken(row));
        assert.equal(await broker.metric('weft_sessions'), 1);
      });
    }
  }
});
