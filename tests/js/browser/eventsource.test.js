// npm's faye in a browser, by its eventsource transport.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { browserForTests, newContext, PLACES } from './pages.js';

const world = browserForTests();

// A page with a client, what it got and what it asked for.
async function start(t, broker, channel) {
  const context = await newContext(t, world);
  const page = await context.newPage();
  const requests = [];
  page.on('request', (request) => {
    requests.push({ accept: request.headers().accept, body: request.postData() ?? '' });
  });
  await page.goto(PLACES['same-origin'](broker, world.assets));
  await page.addScriptTag({ url: `${world.assets.origin}/faye/faye-browser-min.js` });
  await page.evaluate(run, { url: `${broker.origin}/faye`, channel });
  // What a first connect carries may come again by the stream: no proof of it has come until then.
  await eventually('the stream is open', async () => (await broker.metric('weft_streams')) === 1);
  return {
    requests,
    publish: (name, data) => page.evaluate(([to, what]) => globalThis.client.publish(to, what), [name, data]),
    gets: (count) =>
      eventually(`${count} messages`, async () => {
        const got = await page.evaluate(() => globalThis.got);
        return got.length >= count && got;
      }, 30_000),
    disconnect: () => page.evaluate(() => globalThis.client.disconnect()),
    offline: (is) => context.setOffline(is),
    streams: () => requests.filter(({ accept }) => accept === 'text/event-stream').length,
    types: () => requests.map(({ body }) => /"connectionType":"([\w-]+)"/.exec(body)?.[1]).filter(Boolean),
  };
}

// Runs in the page.
async function run({ url, channel }) {
  globalThis.got = [];
  const client = new globalThis.Faye.Client(url, { retry: 0.5 });
  client.disable('websocket');
  globalThis.client = client;
  await client.subscribe(channel, (data) => globalThis.got.push(data));
}

const publish = async (broker, channel, data) => {
  const body = JSON.stringify(data);
  const { status } = await fetch(`${broker.origin}/publish${channel}`, { method: 'POST', body });
  assert.equal(status, 200);
};

test('faye, eventsource: C6, A9: it is chosen, and events come by the stream', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await start(t, broker, '/page/*');
  for (const n of range(50)) await publish(broker, '/page/x', n);
  assert.deepEqual(await page.gets(50), range(50));
  const began = Date.now();
  await page.publish('/page/y', 'own </script>\u2028');
  assert.ok(Date.now() - began < 5000);
  assert.equal((await page.gets(51)).at(-1), 'own </script>\u2028');
  // Its first connects leave before it knows that the stream is open, and leave that as it is.
  await eventually('its connects go with the stream', () => page.types().at(-1) === 'eventsource');
  assert.equal(page.streams(), 1);
  await eventually('no connect is held', async () => (await broker.metric('weft_held_connects')) === 0, 5000);
  await page.disconnect();
  await eventually('no session is left', async () => (await broker.metric('weft_sessions')) === 0);
});

test('faye, eventsource: A11, D2: broker killed and restarted: it goes on', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: '[streams]\nretry = "200ms"\n' });
  const page = await start(t, broker, '/live');
  await publish(broker, '/live', 0);
  await page.gets(1);
  await broker.kill();
  await broker.restart();
  // The stream that comes again is told to shake hands; nobody waits for the next heartbeat.
  const listens = async () => (await broker.metric('weft_subscriptions')) === 1;
  await eventually('it has subscribed again', listens, 20_000);
  for (const n of range(10, 1)) await publish(broker, '/live', n);
  assert.deepEqual(await page.gets(11), range(11));
});

test('faye, eventsource: P2, T4: five seconds without a network lose nothing', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: '[streams]\nretry = "200ms"\nheartbeat = "1s"\n' });
  const page = await start(t, broker, '/live');
  for (const n of range(5)) await publish(broker, '/live', n);
  await page.gets(5);
  await page.offline(true);
  for (const n of range(5, 5)) await publish(broker, '/live', n);
  await new Promise((resolve) => setTimeout(resolve, 5_000));
  await page.offline(false);
  for (const n of range(5, 10)) await publish(broker, '/live', n);
  assert.deepEqual(await page.gets(15), range(15));
});
