// A victim whose browser brings a token in a cookie along, wherever it is sent: that is what foreign
// pages would use. `origins` decides, not the cookie.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND } from '../harness.js';
import { takingTokens, tokenFor } from '../tokens.js';
import { HANDSHAKE, TRIES, brokerThatLists, message, newPage, sitesForTests } from './sites.js';

const sites = sitesForTests();

// What the victim's browser does for a page: everything that needs no more than the cookie.
const DEEDS = {
  'publishes without CORS': async (page, broker) => {
    await page.evaluate(TRIES.post, { url: `${broker.origin}/publish/diary`, mode: 'no-cors', body: '"forged"' });
    return (await broker.metric('weft_messages_in_total')) > 1;
  },
  'publishes by a form': async (page, broker) => {
    const fields = [['"forged', '"']];
    await page.evaluate(TRIES.form, { url: `${broker.origin}/publish/diary`, enctype: 'text/plain', fields });
    return (await broker.metric('weft_messages_in_total')) > 1;
  },
  'reads the history': async (page, broker) => {
    const { text } = await page.evaluate(TRIES.get, { url: `${broker.origin}/history/diary` });
    return /a secret/.test(text);
  },
  'follows the events': async (page, broker) =>
    (await page.evaluate(TRIES.events, `${broker.origin}/events/diary`)) === 'open',
  'shakes hands by JSONP': async (page, broker) => {
    const { heard } = await page.evaluate(TRIES.script, `${broker.url}?message=${message(HANDSHAKE)}`);
    return heard?.[0].successful === true;
  },
  'shakes hands by a POST': async (page, broker) => {
    const { text } = await page.evaluate(TRIES.post, { url: broker.url, body: JSON.stringify(HANDSHAKE) });
    return /"successful":true/.test(text);
  },
  'shakes hands by a WebSocket': async (page, broker) => {
    const socket = { url: broker.url.replace('http', 'ws'), text: JSON.stringify(HANDSHAKE) };
    return /"successful":true/.test(await page.evaluate(TRIES.socket, socket));
  },
};

for (const [deed, does] of Object.entries(DEEDS)) {
  test(`K3: with a token in a cookie: a listed page ${deed}, a foreign one does not, nor anybody without it`, BOUND, async (t) => {
    const broker = await brokerThatLists(t, [sites.listed], takingTokens('/diary'));
    const page = await newPage(t, sites, sites.listed);
    const headers = { authorization: `Bearer ${tokenFor(600)}` };
    const publish = { method: 'POST', headers, body: '"a secret"' };
    assert.equal((await fetch(`${broker.origin}/publish/diary`, publish)).status, 200);
    assert.equal(await does(page, broker), false, 'without the cookie');
    const cookie = { name: 'token', value: tokenFor(600), url: broker.origin, sameSite: 'None', secure: true };
    await page.context().addCookies([{ ...cookie, url: broker.origin.replace('http:', 'https:') }]);
    await page.goto(sites.evil);
    assert.equal(await does(page, broker), false, 'a foreign page');
    await page.goto(sites.listed);
    assert.equal(await does(page, broker), true, 'a listed page');
  });
}
