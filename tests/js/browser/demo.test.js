// The page that the broker serves, as people see it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, eventually } from '../harness.js';
import { browserForTests } from './pages.js';

const world = browserForTests();

// Here the broker's own policy holds.
async function newContext(t) {
  const context = await world.browser.newContext();
  t.after(() => context.close());
  return context;
}

async function openDemo(context, broker) {
  const page = await context.newPage();
  page.complaints = [];
  page.on('pageerror', (error) => page.complaints.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') page.complaints.push(message.text());
  });
  await page.goto(`${broker.origin}/demo/`);
  await page.waitForSelector('#stocks th[scope=row]');
  return page;
}

const prices = (page) => page.locator('#stocks .price').allTextContents();

async function pricesMove(page) {
  const before = (await prices(page)).join();
  await eventually('a price moves', async () => (await prices(page)).join() !== before);
}

test('demo: prices move, under the page\'s own policy, without complaint', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await openDemo(await newContext(t), broker);
  await pricesMove(page);
  for (const price of await prices(page)) assert.match(price, /^\d+\.\d\d$/);
  assert.equal(await page.locator('#state').textContent(), 'connected');
  assert.deepEqual(page.complaints, []);
});

test('demo: what is written in one tab appears in the other, as text', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const context = await newContext(t);
  const first = await openDemo(context, broker);
  const second = await openDemo(context, broker);
  const text = '<img src=x onerror=alert(1)> & hello';
  await first.fill('#text', text);
  await first.click('#chat button');
  for (const page of [first, second]) {
    await page.waitForFunction(
      (wanted) => document.querySelector('#messages li')?.textContent.endsWith(wanted),
      text,
    );
    assert.equal(await page.locator('#messages img').count(), 0);
  }
  await second.waitForSelector('#state[data-state=polling], #state[data-state=connected]');
  const states = async () => [
    await first.locator('#state').textContent(),
    await second.locator('#state').textContent(),
  ];
  await eventually('one of the tabs says that it polls', async () =>
    (await states()).includes('polling (multiple tabs)'));
});

test('demo: nothing is published when nobody watches; a page that comes back sees prices again', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await openDemo(await newContext(t), broker);
  await pricesMove(page);
  assert.ok((await broker.metric('weft_messages_in_total')) > 0);
  await page.goto('about:blank');
  const none = async () => (await broker.metric('weft_sessions')) === 0;
  await eventually('no session', none);
  const before = await broker.metric('weft_messages_in_total');
  await new Promise((resolve) => setTimeout(resolve, 3000));
  assert.equal(await broker.metric('weft_messages_in_total'), before);
  await page.goBack();
  await pricesMove(page);
});

test('demo: broker killed and restarted: the page says so, and goes on by itself', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await openDemo(await newContext(t), broker);
  await broker.kill();
  await page.waitForSelector('#state[data-state=offline]');
  await broker.restart();
  await page.waitForSelector('#state[data-state=connected]');
  await pricesMove(page);
});

test('demo: malformed messages of others do no harm', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await openDemo(await newContext(t), broker);
  await page.evaluate(async () => {
    const { Client } = await import('/demo/client/weft.js');
    const client = new Client('/bayeux');
    for (const data of [null, 1, {}, { symbol: 'X', price: 'y', change: 0 }]) {
      await client.publish('/demo/stocks/X', data);
      await client.publish('/demo/chat', data);
    }
    await client.disconnect();
  });
  await page.waitForFunction(() => document.querySelectorAll('#messages li').length === 4);
  await pricesMove(page);
  assert.deepEqual(page.complaints, []);
});
