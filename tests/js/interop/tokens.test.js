// Stock clients that say who they are, by the very code that docs/clients.md shows.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { browserForTests, newContext } from '../browser/pages.js';
import { takingTokens, tokenFor } from '../tokens.js';

const world = browserForTests();
const CONFIG = takingTokens('/numbers');

// The code that the document shows, as a function: it runs in an application of which it takes what
// it names.
async function documented(library) {
  const text = await readFile(new URL('../../../docs/clients.md', import.meta.url), 'utf8');
  const [, code] = new RegExp(`<!-- tokens: ${library} -->\n\`\`\`js\n([^]*?)\n\`\`\``).exec(text);
  return code;
}

const AsyncFunction = (async () => {}).constructor;
const require = createRequire(import.meta.url);

// Clients whose handshake was refused look for the broker for ever, and cannot be made to leave.
after(() => setTimeout(() => process.exit(), 2000).unref());

// A broker, and clients that leave before it goes: they would look for it for ever.
async function start(t) {
  const leaves = [];
  t.after(() => Promise.all(leaves.map((leave) => leave())));
  return [await Broker.start(t, { config: CONFIG }), leaves];
}

// One client in this process: what it has heard, how it shook hands, and what it was told. Each asks
// for tokens by `freshToken`.
const CLIENTS = {
  async cometd(leaves, url, transport, freshToken) {
    require('cometd-nodejs-client').adapt();
    const { CometD } = await import('cometd');
    const cometd = new CometD();
    cometd.configure({ url, logLevel: 'error', backoffIncrement: 200, maxBackoff: 1000 });
    for (const type of cometd.getTransportTypes()) if (type !== transport) cometd.unregisterTransport(type);
    await new AsyncFunction('cometd', 'freshToken', await documented('cometd'))(cometd, freshToken);
    const heard = { numbers: [], ids: new Set(), errors: [] };
    cometd.addListener('/meta/connect', ({ successful, error }) => {
      if (successful) heard.ids.add(cometd.getClientId());
      else heard.errors.push(error);
    });
    cometd.addListener('/meta/handshake', ({ successful, error }) => {
      if (!successful) heard.errors.push(error);
    });
    leaves.push(() => cometd.disconnect());
    cometd.handshake({}, ({ successful }) => {
      if (successful) cometd.subscribe('/numbers', ({ data }) => heard.numbers.push(data));
    });
    return heard;
  },
  async faye(leaves, url, transport, freshToken) {
    const { Client } = require('faye');
    const client = new Client(url, { retry: 0.5 });
    // It shakes hands by polling, whatever comes then.
    for (const type of ['websocket', 'eventsource', 'callback-polling']) if (type !== transport) client.disable(type);
    await new AsyncFunction('client', 'freshToken', await documented('faye'))(client, freshToken);
    const heard = { numbers: [], ids: new Set(), errors: [] };
    client.addExtension({
      incoming(message, pass) {
        if (message.channel === '/meta/handshake' && message.clientId) heard.ids.add(message.clientId);
        if (message.error) heard.errors.push(message.error);
        pass(message);
      },
    });
    leaves.push(() => client.disconnect());
    client.subscribe('/numbers', (data) => heard.numbers.push(data));
    return heard;
  },
};

async function publish(broker, data) {
  const headers = { authorization: `Bearer ${tokenFor(60, { sub: 'publisher' })}` };
  const response = await fetch(`${broker.origin}/publish/numbers`, {
    method: 'POST',
    headers,
    body: JSON.stringify(data),
  });
  assert.equal(response.status, 200, await response.text());
}

const subscribed = (broker) =>
  eventually('it subscribes', async () => (await broker.metric('weft_subscriptions')) === 1);

for (const library of ['cometd', 'faye']) {
  for (const transport of ['long-polling', 'websocket']) {
    test(`K2: ${library}, ${transport}: a token expires under way, a fresh one comes, and the session goes on`, BOUND, async (t) => {
      const [broker, leaves] = await start(t);
      let asked = 0;
      const freshToken = async () => {
        asked += 1;
        return tokenFor(asked < 3 ? 3 : 600);
      };
      const heard = await CLIENTS[library](leaves, broker.url, transport, freshToken);
      await subscribed(broker);
      // Before, between, while it is expired, and after.
      let next = 0;
      await eventually('two tokens have expired', async () => {
        await publish(broker, next);
        next += 1;
        await new Promise((resolve) => setTimeout(resolve, 100));
        return asked >= 3;
      }, 30_000);
      for (const number of range(10, next)) await publish(broker, number);
      await eventually('all numbers', () => heard.numbers.includes(next + 9));
      // What was on its way when the token expired may come twice.
      assert.deepEqual([...new Set(heard.numbers)], range(next + 10));
      assert.equal(heard.ids.size, 1, 'one session');
      assert.equal(await broker.metric('weft_handshakes_total'), 1);
      assert.ok(heard.errors.length >= 2 && heard.errors.length < 10, `${heard.errors}`);
      for (const error of heard.errors) assert.match(error, /^401::token_expired/);
    });
  }

  // With an expired token it may come again, faye by its own `retry`: a fresh one may be on its way.
  for (const [what, wrong, again] of [
    ['of another key', () => tokenFor(60, { secret: 'another of more than thirty-two bytes' }), 0],
    ['that has expired', () => tokenFor(-60), 10],
    ['that is none', () => 'x', 0],
  ]) {
    test(`K1: ${library}: with a token ${what} it is told 401, and ${again ? 'does not hurry' : 'stops'}`, BOUND, async (t) => {
      const [broker, leaves] = await start(t);
      const heard = await CLIENTS[library](leaves, broker.url, 'long-polling', async () => wrong());
      await eventually('it is refused', () => heard.errors.length > 0);
      assert.match(heard.errors[0], /^401::token_(invalid|expired)/);
      const responses = await broker.metric('weft_responses_total');
      await new Promise((resolve) => setTimeout(resolve, 3000));
      // One of them is the answer to what asks here.
      assert.ok((await broker.metric('weft_responses_total')) <= responses + 2 + again, 'nobody asks again and again');
      assert.equal(await broker.metric('weft_sessions'), 0);
      assert.equal(heard.numbers.length, 0);
    });
  }
}

test('K2: cometd in Chromium, with the token in a cookie: it is refreshed under way, and the session goes on', BOUND, async (t) => {
  const broker = await Broker.start(t, { config: CONFIG });
  const context = await newContext(t, world);
  const page = await context.newPage();
  await page.goto(`${broker.origin}/demo/demo.css`);
  const cookie = (seconds) =>
    context.addCookies([{ name: 'token', value: tokenFor(seconds), url: broker.origin, httpOnly: true }]);
  await cookie(3);
  await page.exposeFunction('refresh', () => cookie(600));
  await page.evaluate(
    async ({ assets, url }) => {
      const { CometD } = await import(`${assets}/cometd/cometd.js`);
      const cometd = new CometD();
      globalThis.heard = { numbers: [], errors: [], ids: [] };
      cometd.configure({ url, logLevel: 'error', backoffIncrement: 200, maxBackoff: 1000 });
      cometd.websocketEnabled = false;
      cometd.addListener('/meta/connect', ({ successful, error }) => {
        if (successful) globalThis.heard.ids.push(cometd.getClientId());
        else globalThis.heard.errors.push(error);
        if (/^401:/.test(error)) globalThis.refresh();
      });
      await new Promise((resolve, reject) => {
        cometd.handshake({}, ({ successful, error }) => (successful ? resolve() : reject(new Error(error))));
      });
      cometd.subscribe('/numbers', ({ data }) => globalThis.heard.numbers.push(data));
    },
    { assets: world.assets.origin, url: broker.url },
  );
  await subscribed(broker);
  const heard = () => page.evaluate(() => globalThis.heard);
  let next = 0;
  await eventually('it has expired', async () => {
    await publish(broker, next);
    next += 1;
    return (await heard()).errors.length > 0;
  });
  for (const number of range(10, next)) await publish(broker, number);
  await eventually('all numbers', async () => (await heard()).numbers.includes(next + 9));
  const { numbers, ids, errors } = await heard();
  assert.deepEqual([...new Set(numbers)], range(next + 10));
  assert.equal(new Set(ids).size, 1);
  assert.match(errors[0], /^401::token_expired/);
  assert.equal(await broker.metric('weft_handshakes_total'), 1);
});
