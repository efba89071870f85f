// The browser's cookie, as a browser has it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker } from '../harness.js';
import { HANDSHAKE, TRIES, brokerThatLists, newPage, sitesForTests } from './sites.js';

const sites = sitesForTests();
const NAME = 'BAYEUX_BROWSER';

const handshake = (page, broker) =>
  page.evaluate(TRIES.post, { url: broker.url, body: JSON.stringify(HANDSHAKE) });

// With a cookie from the handshake made by a page of the broker's own.
async function pageWithCookie(t, broker) {
  const page = await newPage(t, sites, `${broker.origin}/demo/demo.css`);
  assert.equal((await handshake(page, broker)).status, 200);
  return page;
}

const browsers = (more) => `[browsers]\n${more}\n`;

test('HttpOnly: no script reads the cookie or puts another in its place; without the option it can', BOUND, async (t) => {
  const closed = await Broker.start(t);
  const page = await pageWithCookie(t, closed);
  const [before] = await page.context().cookies();
  assert.deepEqual([before.name, before.httpOnly, before.sameSite, before.path], [NAME, true, 'Lax', '/']);
  assert.deepEqual([before.expires, before.domain], [-1, '127.0.0.1']);
  const overwrite = () => {
    document.cookie = 'BAYEUX_BROWSER=chosen; path=/';
    return document.cookie;
  };
  assert.doesNotMatch(await page.evaluate(overwrite), /BAYEUX_BROWSER/);
  assert.equal((await page.context().cookies())[0].value, before.value);

  const open = await Broker.start(t, { config: browsers('http_only = false') });
  const other = await pageWithCookie(t, open);
  assert.match(await other.evaluate(overwrite), /BAYEUX_BROWSER=chosen/);
});

// Whether a page of another site that is listed brings the cookie along: a broker that knows it sets
// no other.
async function isSentFromElsewhere(t, config) {
  const broker = await brokerThatLists(t, [sites.listed], config);
  const page = await pageWithCookie(t, broker);
  const count = async () => (await page.context().cookies(broker.origin)).length;
  assert.equal(await count(), 1);
  await page.goto(sites.listed);
  const request = page.waitForRequest(broker.url);
  assert.equal((await handshake(page, broker)).status, 200);
  const sent = (await (await request).allHeaders()).cookie ?? '';
  return sent.includes(NAME);
}

test('SameSite: Lax and Strict stay with the site, None goes with a listed one', BOUND, async (t) => {
  assert.equal(await isSentFromElsewhere(t, ''), false);
  assert.equal(await isSentFromElsewhere(t, browsers('same_site = "Strict"')), false);
  assert.equal(await isSentFromElsewhere(t, browsers('same_site = "None"')), true);
});

test('Secure and prefixed names: a browser takes what the options allow', BOUND, async (t) => {
  for (const [options, name, secure] of [
    ['secure = true', NAME, true],
    ['cookie = "__Host-weft"', '__Host-weft', true],
    ['cookie = "__Secure-weft"', '__Secure-weft', true],
    ['secure = false', NAME, false],
  ]) {
    const broker = await Broker.start(t, { config: browsers(options) });
    const page = await pageWithCookie(t, broker);
    const cookies = await page.context().cookies();
    assert.deepEqual(cookies.map((cookie) => [cookie.name, cookie.secure]), [[name, secure]], options);
  }
});

test('Partitioned: frames of ours on two sites are two browsers; without the option they are one', BOUND, async (t) => {
  for (const [options, expected] of [['partitioned = true', 2], ['', 1]]) {
    const broker = await brokerThatLists(t, [sites.listed, sites.evil], browsers(`same_site = "None"\n${options}`));
    const page = await newPage(t, sites, sites.listed);
    const values = new Set();
    for (const site of [sites.listed, sites.evil]) {
      await page.goto(site);
      assert.equal((await handshake(page, broker)).status, 200);
      const request = page.waitForRequest(broker.url);
      assert.equal((await handshake(page, broker)).status, 200);
      const { cookie = '' } = await (await request).allHeaders();
      assert.match(cookie, /BAYEUX_BROWSER=[0-9a-f]{64}/, options);
      values.add(cookie);
    }
    assert.equal(values.size, expected, options);
  }
});

test('fixation: a value that somebody else chose is replaced, never adopted', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await newPage(t, sites, `${broker.origin}/demo/demo.css`);
  const chosen = { name: NAME, value: 'c'.repeat(64), url: broker.origin };
  await page.context().addCookies([chosen]);
  assert.equal((await handshake(page, broker)).status, 200);
  const [{ value, httpOnly }] = await page.context().cookies();
  assert.ok(value !== chosen.value && httpOnly);
});
