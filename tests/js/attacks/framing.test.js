// Clickjacking: our pages are shown in no frame, and run nothing but what is theirs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker } from '../harness.js';
import { brokerThatLists, newPage, sitesForTests } from './sites.js';

const sites = sitesForTests();

// What is to be seen in a frame, once it has loaded.
async function framed(page, url) {
  await page.evaluate(
    (src) =>
      new Promise((resolve) => {
        document.body.append(Object.assign(document.createElement('iframe'), { src, onload: resolve }));
      }),
    url,
  );
  const frame = page.frames().at(-1);
  return { url: frame.url(), text: await frame.evaluate(() => document.body.innerText) };
}

for (const [name, pageOf] of [
  ['a foreign site', () => sites.evil],
  ['a listed site', () => sites.listed],
  ['the broker itself', (broker) => `${broker.origin}/nothing`],
]) {
  test(`clickjacking: /demo/ and what is not there are shown in no frame of ${name}`, BOUND, async (t) => {
    const broker = await brokerThatLists(t, [sites.listed]);
    for (const path of ['/demo/', '/nothing']) {
      const page = await newPage(t, sites);
      // Its own policy forbids it frames: this is about that of the framed page.
      if (name === 'the broker itself') {
        const body = '<!doctype html><p>a page';
        await page.route(`${broker.origin}/nothing`, (route) =>
          route.request().isNavigationRequest() && route.request().frame() === page.mainFrame()
            ? route.fulfill({ contentType: 'text/html', body })
            : route.continue(),
        );
      }
      await page.goto(pageOf(broker));
      const { url, text } = await framed(page, `${broker.origin}${path}`);
      assert.doesNotMatch(text, /live demo|Say something|nothing is served/, `${path}: ${url}`);
      const control = await framed(page, sites.evil);
      assert.equal(control.text.trim(), 'a page', 'a page without a policy is shown');
    }
  });
}

test('the demo works under its policy: no violation is reported, and one is where there is one', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await newPage(t, sites);
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) => {
      globalThis.violations.push(`${effectiveDirective} ${blockedURI}`);
    });
  });
  const complaints = [];
  page.on('console', (said) => {
    if (said.type() === 'error' || said.type() === 'warning') complaints.push(said.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`${broker.origin}/demo/`);
  await page.waitForSelector('#stocks th[scope=row]');
  await page.fill('#text', 'hello');
  await page.click('#chat button');
  await page.waitForFunction(() => document.querySelector('#messages li')?.textContent.endsWith('hello'));
  // By the other transport, too: its scripts come from the same origin.
  const heard = await page.evaluate(async () => {
    const { Client } = await import('/demo/client/weft.js');
    const client = new Client('/bayeux', { transport: 'callback-polling' });
    const heard = new Promise((resolve) => client.subscribe('/heard', resolve));
    await client.publish('/heard', 'by callback').catch(() => {});
    return Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 5000, 'nothing'))]);
  });
  assert.notEqual(heard, 'nothing');
  assert.deepEqual(await page.evaluate(() => globalThis.violations), []);
  assert.deepEqual(complaints, []);

  const injected = await page.evaluate(async (elsewhere) => {
    document.body.append(Object.assign(document.createElement('script'), { text: 'globalThis.ran = true' }));
    document.body.append(Object.assign(document.createElement('img'), { src: `${elsewhere}/leak` }));
    await fetch(`${elsewhere}/leak`).catch(() => {});
    document.head.append(Object.assign(document.createElement('base'), { href: elsewhere }));
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { ran: globalThis.ran, violations: globalThis.violations };
  }, sites.evil);
  assert.equal(injected.ran, undefined);
  const directives = injected.violations.map((violation) => violation.split(' ')[0]);
  for (const directive of ['script-src-elem', 'img-src', 'connect-src', 'base-uri']) {
    assert.ok(directives.includes(directive), `${directive}: ${directives}`);
  }
});
