// A page with cometd's reload extension is reloaded, and goes on with the session that it had.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually, range } from '../harness.js';
import { deafProxy } from '../proxy.js';
import { browserForTests, newContext, PLACES } from './pages.js';

const world = browserForTests();
const PROMPT = 5000; // of a loaded machine; a connect is held for 30 s

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Runs in the page. What outlives it is written down at once.
async function run({ url, assets, extensions, transport }) {
  const library = await import(`${assets}/cometd/cometd.js`);
  const log = JSON.parse(sessionStorage.getItem('log')) ?? { received: [], sessions: [], advice: [] };
  const keep = (list, entry) => {
    log[list].push(entry);
    sessionStorage.setItem('log', JSON.stringify(log));
  };
  const client = new library.CometD();
  client.configure({ url, logLevel: 'error' });
  for (const type of client.getTransportTypes()) {
    if (type !== transport) client.unregisterTransport(type);
  }
  for (const name of extensions) {
    client.registerExtension(name, new library[`${name}Extension`]());
  }
  client.addListener('/meta/connect', ({ advice }) => advice && keep('advice', advice));
  await new Promise((resolve, reject) => {
    const done = (reply) => (reply.successful ? resolve() : reject(new Error(JSON.stringify(reply))));
    client.handshake((reply) => {
      if (!reply.successful) return done(reply);
      keep('sessions', [reply.clientId, reply.ext?.reload === true]);
      // Here, since the first connect may bring messages.
      client.subscribe('/page', ({ data }) => keep('received', data), {}, done);
    });
  });
  globalThis.client = client;
}

class ReloadedPage {
  static async open(t, broker, origin, extensions, transport) {
    const page = new ReloadedPage();
    page.broker = broker;
    page.page = await (await newContext(t, world)).newPage();
    const options = { url: `${origin}/bayeux`, assets: world.assets.origin, extensions, transport };
    page.start = () => page.page.evaluate(run, options);
    await page.page.goto(PLACES['same-origin']({ origin }));
    await page.start();
    return page;
  }

  // As the extension's documentation has it.
  async reload() {
    const loaded = this.page.waitForEvent('load');
    await this.page.evaluate(() => {
      globalThis.client.reload();
      setTimeout(() => location.reload()); // once this call is answered
    });
    await loaded;
    await this.start();
  }

  log() {
    return this.page.evaluate(() => JSON.parse(sessionStorage.getItem('log')));
  }

  async publish(n) {
    const body = JSON.stringify(n);
    const { status } = await fetch(`${this.broker.origin}/publish/page`, { method: 'POST', body });
    assert.equal(status, 200);
  }

  // Publishes all the time; `stop` resolves to the number of messages.
  publishSteadily() {
    let stopped = false;
    const work = (async () => {
      let n = 0;
      for (; !stopped; n += 1) {
        await this.publish(n);
        await pause(10);
      }
      return n;
    })();
    return {
      stop() {
        stopped = true;
        return work;
      },
    };
  }

  receives(n, ms) {
    const arrived = async () => (await this.log()).received.includes(n);
    return eventually(`message ${n}`, arrived, ms);
  }
}

const BUSY = 4;
const QUIET = 2;

const HIDDEN = 'long-polling through a proxy that hides the end of the old poll';

for (const extensions of [['Reload'], ['Ack', 'Reload']]) {
  for (const way of ['long-polling', 'callback-polling', 'websocket', HIDDEN]) {
    test(`cometd with ${extensions}, ${way}: X3, H2, R6, L12: a reloaded page goes on and loses nothing`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const proxy = way === HIDDEN ? await deafProxy(t, broker) : undefined;
      const transport = way === HIDDEN ? 'long-polling' : way;
      const page = await ReloadedPage.open(t, broker, (proxy ?? broker).origin, extensions, transport);

      const publisher = page.publishSteadily();
      for (const round of range(BUSY)) {
        await pause(200 + 50 * round);
        await page.reload();
      }
      let count = await publisher.stop();
      await page.receives(count - 1);

      for (const _ of range(QUIET)) {
        const held = async () => (await broker.metric('weft_held_connects')) === 1;
        await eventually('the page waits', held);
        await page.reload();
        await eventually('the page waits again, and nobody else', held, PROMPT);
        await page.publish(count);
        await page.receives(count, PROMPT);
        count += 1;
      }

      const { received, sessions, advice } = await page.log();
      // What came may have come again: nobody knows whether the old page had read it.
      assert.deepEqual([...new Set(received)], range(count));
      const [[clientId]] = sessions;
      const all = [false, ...range(BUSY + QUIET).map(() => true)];
      assert.deepEqual(sessions, all.map((reloaded) => [clientId, reloaded]));
      assert.equal(await broker.metric('weft_handshakes_total'), 1);
      assert.equal(await broker.metric('weft_connects_demoted_total'), 0);
      for (const one of advice) assert.ok(!one['multiple-clients'], JSON.stringify(one));
      if (proxy) {
        assert.ok(proxy.lost > 0, 'no reply was lost with the old page');
        assert.ok((await broker.metric('weft_messages_resent_total')) > 0);
        assert.ok((await broker.metric('weft_connects_superseded_total')) >= QUIET);
      }
      const resent = await broker.metric('weft_messages_resent_total');
      t.diagnostic(`${count} messages, ${resent} sent again, ${received.length - count} came twice`);
    });
  }
}
