// Several tabs of one browser: one waits, the others ask now and then.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { browserForTests, newContext, PagePeer } from './pages.js';

const world = browserForTests();
const INTERVAL = 2000; // the broker's advice to those that may not wait
const SLACK = 1500; // of a loaded machine
const LP = { transport: 'long-polling' };

async function openTabs(t, broker, library, count) {
  const context = await newContext(t, world);
  const tabs = [];
  for (let i = 0; i < count; i += 1) {
    const tab = await PagePeer.start(context, world, broker, { library, ...LP });
    await tab.subscribe('/tabs');
    tabs.push(tab);
  }
  return tabs;
}

const connectsSince = (tab, since) =>
  tab.requests.filter(({ connect, at }) => connect && at >= since).length;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (const [library, count] of [['cometd', 2], ['faye', 2], ['weft', 2], ['cometd', 8]]) {
  test(`${library}, ${count} tabs: R5, R6, R6a, D9, H2: one waits, the rest poll slowly, all get messages`, BOUND, async (t) => {
    const broker = await Broker.start(t);
    const tabs = await openTabs(t, broker, library, count);
    const publisher = await NodePeer.start(t, 'faye', broker.url, LP);
    const demoted = async () => (await broker.metric('weft_connects_demoted_total')) >= count - 1;
    await eventually('all but one have been told', demoted);

    // Nothing happens, so nobody asks more often than advised.
    const quiet = 2 * INTERVAL;
    const since = Date.now();
    await pause(quiet);
    const rates = tabs.map((tab) => connectsSince(tab, since));
    for (const connects of rates) assert.ok(connects <= quiet / INTERVAL + 1, `connects: ${rates}`);
    assert.ok(rates.filter((connects) => connects <= 1).length >= 1, `somebody waits: ${rates}`);
    assert.equal(await broker.metric('weft_held_connects'), 2, 'one tab and the publisher');

    for (const n of range(3)) {
      await publisher.publish('/tabs', n);
      await Promise.all(tabs.map((tab) => tab.receives(n + 1, INTERVAL + SLACK)));
    }
    for (const tab of tabs) {
      assert.deepEqual((await tab.status()).received, range(3).map((n) => ['/tabs', n]));
    }

    // Messages wake one and demote another, but that is no reason to spin.
    const after = Date.now();
    await pause(quiet);
    const later = tabs.map((tab) => connectsSince(tab, after));
    for (const connects of later) assert.ok(connects <= quiet / INTERVAL + 1, `connects: ${later}`);
  });
}

test('8 tabs: R6, R7: a plain fetch to the broker answers at once from every tab', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const tabs = await openTabs(t, broker, 'cometd', 8);
  for (const tab of tabs) {
    const ms = await tab.page.evaluate(async () => {
      const began = performance.now();
      const response = await fetch('/demo/', { cache: 'no-store' });
      await response.text();
      return performance.now() - began;
    });
    assert.ok(ms < 1000, `${ms} ms`);
  }
});

test('R6a: when the tab that waits is closed, another takes its place', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const tabs = await openTabs(t, broker, 'cometd', 3);
  const publisher = await NodePeer.start(t, 'faye', broker.url, LP);
  for (const left of [2, 1]) {
    const since = Date.now();
    await pause(INTERVAL + SLACK);
    // The one that waits has sent least.
    tabs.sort((a, b) => connectsSince(a, since) - connectsSince(b, since));
    await tabs.shift().page.close();
    const held = async () => (await broker.metric('weft_held_connects')) === 2;
    await eventually(`one of ${left} waits, and the publisher`, held, 2 * INTERVAL + SLACK);
  }
  const [last] = tabs;
  const alone = async () => {
    const since = Date.now();
    await pause(INTERVAL + SLACK);
    return connectsSince(last, since) <= 1;
  };
  await eventually('the last one is not asked to poll any more', alone);
  await publisher.publish('/tabs', 'now');
  await last.receives(1, SLACK);
});
