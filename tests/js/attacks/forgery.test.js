// Another site's page makes a browser send what it likes (CSRF): nothing of it is obeyed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, eventually } from '../harness.js';
import { TRIES, brokerThatLists, history, message, newPage, session, sitesForTests } from './sites.js';

const sites = sitesForTests();
const CHANNEL = '/forged';

// Each publishes by itself where it is not refused; `clientId` is of a session that is the attacker's
// own.
const FORGERIES = {
  'form, urlencoded, to Bayeux': (page, broker, id) =>
    page.evaluate(TRIES.form, {
      url: broker.url,
      enctype: 'application/x-www-form-urlencoded',
      fields: [['message', JSON.stringify(publication(id))]],
    }),
  // `[…,{"=":""}]`: an equals sign that the form puts in is made part of the JSON.
  'form, text/plain, to Bayeux': (page, broker, id) =>
    page.evaluate(TRIES.form, {
      url: broker.url,
      enctype: 'text/plain',
      fields: [[`${JSON.stringify(publication(id)).slice(0, -2)},"ext":{"x`, '":1}}]']],
    }),
  'form, text/plain, to /publish': (page, broker) =>
    page.evaluate(TRIES.form, {
      url: `${broker.origin}/publish${CHANNEL}`,
      enctype: 'text/plain',
      fields: [['{"x', '":1}']],
    }),
  'fetch without CORS, to Bayeux': (page, broker, id) =>
    page.evaluate(TRIES.post, { url: broker.url, mode: 'no-cors', body: JSON.stringify(publication(id)) }),
  'fetch without CORS, to /publish': (page, broker) =>
    page.evaluate(TRIES.post, { url: `${broker.origin}/publish${CHANNEL}`, mode: 'no-cors', body: '1' }),
  'beacon to Bayeux': (page, broker, id) =>
    page.evaluate(TRIES.beacon, { url: broker.url, body: JSON.stringify(publication(id)) }),
  'beacon to /publish': (page, broker) =>
    page.evaluate(TRIES.beacon, { url: `${broker.origin}/publish${CHANNEL}`, body: '1' }),
  'image, whose GET publishes by JSONP': (page, broker, id) =>
    page.evaluate(TRIES.image, `${broker.url}?message=${message(publication(id))}`),
};

const publication = (clientId) => [{ channel: CHANNEL, clientId, data: 1 }];

const published = async (broker) => (await history(broker, CHANNEL)).length;

// The request is under way when the page is told nothing: a second one, of the same page, comes
// behind it.
async function settled(broker, before) {
  for (let waited = 0; waited < 40; waited += 1) {
    if ((await broker.metric('weft_responses_total')) > before) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('no request came');
}

for (const [name, forge] of Object.entries(FORGERIES)) {
  test(`CSRF by ${name}: refused from a foreign page, obeyed from a listed one`, BOUND, async (t) => {
    const broker = await brokerThatLists(t, [sites.listed]);
    const { clientId } = await session(broker, '/unrelated');
    const attempt = async (origin) => {
      const page = await newPage(t, sites, origin);
      const responses = await broker.metric('weft_responses_total');
      await forge(page, broker, clientId);
      await settled(broker, responses);
    };
    await attempt(sites.evil);
    assert.equal(await published(broker), 0);
    await attempt(sites.listed);
    // What was counted may have been another request's response: this one is on its way.
    await eventually('a message', async () => (await published(broker)) > 0);
    assert.equal(await published(broker), 1, 'nor did the first come late');
  });
}

test('CSRF by a sandboxed frame, whose origin is null: refused even on a listed page', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  const options = { url: `${broker.origin}/publish${CHANNEL}`, enctype: 'text/plain', fields: [['{"x', '":1}']] };
  const page = await newPage(t, sites, sites.listed);
  await page.evaluate(TRIES.form, { ...options, sandbox: true });
  assert.equal(await published(broker), 0);
  await page.goto(sites.listed);
  await page.evaluate(TRIES.form, options);
  assert.equal(await published(broker), 1);
});

test('CSRF by a link, followed by hand or by script: JSONP is no page to go to', BOUND, async (t) => {
  const broker = await brokerThatLists(t, [sites.listed]);
  const { clientId } = await session(broker, '/unrelated');
  const page = await newPage(t, sites, sites.evil);
  const url = `${broker.url}?message=${message(publication(clientId))}`;
  const answered = page.waitForResponse((response) => response.url() === url);
  await page.evaluate((href) => {
    location.href = href;
  }, url);
  assert.equal((await answered).status(), 403);
  assert.equal(await published(broker), 0);
});
