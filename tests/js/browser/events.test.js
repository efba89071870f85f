// The browser's own EventSource on /events: it comes again by itself, from where it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { browserForTests, newContext, PLACES } from './pages.js';

const world = browserForTests();

// A page that listens, and what it has heard.
async function listen(t, broker, path, { place = 'same-origin', ...options } = {}) {
  const context = await newContext(t, world);
  const page = await context.newPage();
  await page.goto(PLACES[place](broker, world.assets));
  await page.evaluate(open, { url: `${broker.origin}${path}`, options });
  await eventually('the stream is open', () => page.evaluate(() => globalThis.heard.opened > 0));
  return {
    heard: () => page.evaluate(() => globalThis.heard),
    hears: (what, check) =>
      eventually(what, async () => {
        const heard = await page.evaluate(() => globalThis.heard);
        return check(heard) && heard;
      }, 30_000),
  };
}

// Runs in the page.
function open({ url, options }) {
  const heard = { opened: 0, failed: 0, data: [], ids: [], gaps: [] };
  globalThis.heard = heard;
  const events = new EventSource(url, options);
  events.onopen = () => (heard.opened += 1);
  events.onerror = () => {
    heard.failed += 1;
    heard.state = events.readyState;
  };
  events.onmessage = ({ data, lastEventId }) => {
    heard.data.push(JSON.parse(data).data);
    heard.ids.push(lastEventId);
  };
  events.addEventListener('gap', ({ data }) => heard.gaps.push(...JSON.parse(data).gap));
}

async function publish(broker, channel, data, query = '') {
  const body = JSON.stringify(data);
  const response = await fetch(`${broker.origin}/publish${channel}${query}`, { method: 'POST', body });
  assert.equal(response.status, 200, await response.text());
}

for (const place of ['same-origin', 'cross-origin', 'cross-site']) {
  for (const withCredentials of [false, true]) {
    const credentials = withCredentials ? 'with credentials' : 'without';
    test(`EventSource, ${place}, ${credentials}: T4, A9: messages come as they are published`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const page = await listen(t, broker, '/events/a/*?channel=/b', { place, withCredentials });
      await publish(broker, '/a/x', '</script>\u2028 "ünïcödé" 🧵');
      await publish(broker, '/b', { n: [1, 2] });
      await publish(broker, '/c', 'nothing of this');
      await publish(broker, '/b', 2);
      const { data, opened, failed } = await page.hears('three messages', (heard) => heard.data.length >= 3);
      assert.deepEqual(data, ['</script>\u2028 "ünïcödé" 🧵', { n: [1, 2] }, 2]);
      assert.deepEqual([opened, failed], [1, 0]);
    });
  }
}

test('EventSource: T4: a broker killed and restarted, and nothing is missing or repeats', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: '[streams]\nretry = "100ms"\n' });
  const page = await listen(t, broker, '/events/live/**?channel=/other');
  for (const n of range(5)) await publish(broker, '/live/x', n, '?durable=1');
  await page.hears('what came before', ({ data }) => data.length === 5);
  await broker.kill();
  await broker.restart();
  for (const n of range(5, 5)) await publish(broker, '/live/x', n, '?durable=1');
  await publish(broker, '/live/y', 'y', '?durable=1');
  await publish(broker, '/other', 'z', '?durable=1');
  const { data } = await page.hears('all', (heard) => heard.data.length >= 12);
  assert.deepEqual(data.filter((value) => typeof value === 'number'), range(10));
  assert.deepEqual(data.filter((value) => typeof value === 'string').sort(), ['y', 'z']);
  await broker.stop();
  await broker.restart();
  await publish(broker, '/live/x', 10);
  const last = await page.hears('the last', (heard) => heard.data.length >= 13);
  assert.equal(last.data.at(-1), 10);
});

test('EventSource: R27: streams that end all the time lose nothing', BOUND, async (t) => {
  const config = '[streams]\nmax_bytes = "1KiB"\nretry = "20ms"\n';
  const broker = await Broker.start(t, { config });
  const page = await listen(t, broker, '/events/a');
  for (const n of range(200)) await publish(broker, '/a', n);
  const { data, opened } = await page.hears('all', (heard) => heard.data.length >= 200);
  assert.deepEqual(data, range(200));
  assert.ok(opened >= 3, `${opened} streams`);
});

test('EventSource: T4: signs of life alone move the place to go on from, and gaps are heard', BOUND, async (t) => {
  const config = `[streams]\nheartbeat = "100ms"\nmax_age = "1s"\nretry = "20ms"
[[channels]]\npattern = "/short"\nbacklog = { messages = 2 }\n`;
  const broker = await Broker.start(t, { config });
  const page = await listen(t, broker, '/events/short');
  await page.hears('it has come again', (heard) => heard.opened >= 3);
  await publish(broker, '/short', 0);
  await page.hears('a message', (heard) => heard.data.length === 1);
  await broker.kill();
  await broker.restart();
  for (const n of range(5, 1)) await publish(broker, '/short', n);
  const { data, gaps } = await page.hears('the rest', (heard) => heard.data.at(-1) === 5);
  // It may have been back before the first of them, and missed none.
  assert.ok(data.length === 6 || gaps.length > 0, JSON.stringify({ data, gaps }));
});

test('EventSource: where there is no room it comes again later by itself', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: '[sessions]\nmax = 1\n' });
  const first = await listen(t, broker, '/events/a');
  await publish(broker, '/a', 1);
  await first.hears('it', (heard) => heard.data.length === 1);
  const second = await listen(t, broker, '/events/a');
  const { state } = await second.hears('an end', (heard) => heard.failed > 0);
  assert.equal(state, 0, 'it is about to come again');
});
