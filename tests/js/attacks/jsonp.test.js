// R29, R30: what is injected by the name or by the data, run by real engines: node's, and Chromium's
// as a script and in the middle of HTML. What comes out is what JSON says, and nothing else has run.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import { BOUND, Broker } from '../harness.js';
import { ask, newPage, publish, session, sitesForTests } from './sites.js';

const sites = sitesForTests();

const NAMES = [
  'alert(1)//', 'a;alert(1)', 'a(alert(1))', 'a,alert', 'a=alert', 'a`1`', 'a[0]', "a['b']", 'a-b', 'a b',
  'a\nb', 'a\r\nSet-Cookie: x=y', 'a\u2028b', 'a\u2029', 'a\0', '</script><script>alert(1)</script>', '<!--a',
  'a/**/b', 'a//', '/**/a', 'a"b', "a'b", 'a\\b', 'a\\u0028', 'a?.b', 'a..b', '.a', 'a.', '1a', '', ' a', 'a ',
  '\ufeffa', 'é', '()=>1', 'new Function', 'a%28', 'a&jsonp=b', 'x'.repeat(65), 'CWS\x07', 'UklGRg==', '#a', '@a',
];

// Words of the language pass the grammar of names; no engine calls them, so nothing runs.
const WORDS = ['function', 'class', 'delete', 'return', 'import', 'debugger', 'void', 'typeof', 'new', 'throw'];

const DATA = [
  '</script><script>globalThis.pwned = 1</script>', '</SCRIPT/>', '<!--', '-->', '<![CDATA[', ']]>', '<script',
  '<img src=x onerror="globalThis.pwned = 1">', '\u2028globalThis.pwned = 1\u2028', '\u2029', '\u2028\u2029<!--</script>',
  '");globalThis.pwned = 1;("', "');globalThis.pwned = 1;('", '`${globalThis.pwned = 1}`', '\\', '\\"', '\\\\"', '\\u003c/script>',
  '*/globalThis.pwned = 1;/*', '//', '\0', '\x07\b\f\n\r\t\v', '\x7f\x80\x9f', '\ufeff', '\ufffe\uffff', '😀', '\ud83d', '\ude00\ud83d',
  '&lt;/script&gt;', '%3C/script%3E', '+ADw-script+AD4-', '\x1b$B', 'é'.normalize('NFD'), '<'.repeat(300),
  { '</script>': '<!--', '\u2028': '\u2029', '"': "'", '': '' }, [[['</script>']]], [null, true, false, 0, -1, 1.5e300, 1e-7],
  { constructor: 1, toString: 2, hasOwnProperty: 3, then: 4 }, 9007199254740993, 12345678901234567890, {}, [], null, '',
];

// The script in a world of its own: what the function was called with, and what else there is then.
function runInNode(script) {
  const calls = [];
  const world = vm.createContext({ heard: (json) => calls.push(json) });
  const bridge = 'const tell = heard; globalThis.app = { cb: (m) => tell(JSON.stringify(m)) };';
  vm.runInContext(bridge, world);
  vm.runInContext(script, world);
  assert.deepEqual(Object.keys(world).sort(), ['app', 'heard'], script);
  assert.equal(calls.length, 1, script);
  return JSON.parse(calls[0]);
}

// The same in a page: as a script's text, and as a script in HTML, which ends where HTML says.
function runInPage(page, script) {
  return page.evaluate(async (code) => {
    const run = async (put) => {
      const frame = document.createElement('iframe');
      document.body.append(frame);
      const inner = frame.contentWindow;
      const before = new Set(Object.getOwnPropertyNames(inner));
      const calls = [];
      inner.app = { cb: (messages) => calls.push(JSON.stringify(messages)) };
      await put(frame.contentDocument);
      const more = Object.getOwnPropertyNames(inner).filter((name) => !before.has(name) && name !== 'app');
      const elements = frame.contentDocument.querySelectorAll('*').length;
      const text = frame.contentDocument.body?.textContent ?? '';
      frame.remove();
      return { calls, more, elements, text };
    };
    const asScript = await run((inner) => {
      inner.body.append(Object.assign(inner.createElement('script'), { text: code }));
    });
    const inHtml = await run((inner) => {
      inner.write(`<!doctype html><head><script>${code}</script></head><body></body>`);
      inner.close();
    });
    return { asScript, inHtml };
  }, script);
}

// With advice, what was sent before goes again (see docs/delivery.md), and nothing is held.
async function polled(broker, clientId, jsonp, more = { advice: { timeout: 0 } }) {
  const connect = [{ channel: '/meta/connect', clientId, connectionType: 'callback-polling', ...more }];
  const query = new URLSearchParams({ message: JSON.stringify(connect), jsonp });
  return fetch(`${broker.url}?${query}`);
}

test('R30: data is no more than data in node and in Chromium, and what JSON says it is', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await newPage(t, sites, sites.evil);
  const { clientId } = await session(broker, '/data');
  for (const data of DATA) {
    assert.equal((await publish(broker, '/data', data)).status, 200);
    const script = await (await polled(broker, clientId, 'app.cb', {})).text();
    assert.match(script, /^\/\*\*\/app\.cb\(\[.*\]\);$/, 'one line');
    assert.doesNotMatch(script, /<|[\u2028\u2029]/);
    // The text between the brackets is JSON, too.
    const expected = JSON.parse(script.slice('/**/app.cb('.length, -2));
    const event = expected.find(({ channel }) => channel === '/data');
    assert.deepEqual(event.data, JSON.parse(JSON.stringify(data)));
    assert.deepEqual(runInNode(script), expected);
    const { asScript, inHtml } = await runInPage(page, script);
    for (const { calls, more, text } of [asScript, inHtml]) {
      assert.deepEqual(calls.map((json) => JSON.parse(json)), [expected], script);
      assert.deepEqual(more, [], script);
      assert.ok(!text.includes('pwned') || text === script, script);
    }
    assert.equal(inHtml.elements, 4, `html, head, script, body: ${script}`);
  }
});

test('R30: a text of JSON that is no such text in JavaScript: __proto__ touches its own object alone', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const { clientId } = await session(broker, '/data');
  const body = '{"__proto__":{"pwned":true},"constructor":{"prototype":{"pwned":true}}}';
  await fetch(`${broker.origin}/publish/data`, { method: 'POST', body });
  const script = await (await polled(broker, clientId, 'app.cb')).text();
  const world = vm.createContext({});
  vm.runInContext('globalThis.app = { cb() {} };', world);
  vm.runInContext(script, world);
  assert.equal(vm.runInContext('({}).pwned ?? [].pwned ?? (() => 1).pwned', world), undefined);
});

test('R29: names that are no names of functions are refused; what passes calls that name and nothing else', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const page = await newPage(t, sites, sites.evil);
  const { clientId } = await session(broker, '/data');
  for (const name of NAMES) {
    const response = await polled(broker, clientId, name);
    assert.equal(response.status, 400, JSON.stringify(name));
    assert.equal(response.headers.get('content-type'), 'text/plain;charset=UTF-8');
    assert.equal(response.headers.get('set-cookie'), null);
    assert.ok(name.length < 3 || !(await response.text()).includes(name), 'it is not echoed');
  }
  for (const name of WORDS) {
    const response = await polled(broker, clientId, name);
    if (response.status === 400) continue;
    const script = await response.text();
    const { asScript } = await runInPage(page, script);
    assert.deepEqual([asScript.calls, asScript.more], [[], []], script);
  }
  const good = await polled(broker, clientId, 'app.cb');
  assert.equal(good.status, 200);
  assert.deepEqual(runInNode(await good.text()).map(({ channel }) => channel), ['/meta/connect']);
});

test('a JSONP reply opened by itself is a download, and no script of ours runs from another type', BOUND, async (t) => {
  const broker = await Broker.start(t);
  const { clientId } = await session(broker, '/data');
  const response = await polled(broker, clientId, 'app.cb');
  assert.equal(response.headers.get('content-disposition'), 'attachment; filename=f.txt');
  const page = await newPage(t, sites, `${broker.origin}/demo/demo.css`);
  await ask(broker, [{ channel: '/meta/disconnect', clientId }]);
  // A publisher's text in /history, loaded as a script by a page that may: the type forbids it.
  await publish(broker, '/script', 'x');
  const ran = await page.evaluate(
    (src) =>
      new Promise((resolve) => {
        const script = { src, onload: () => resolve('ran'), onerror: () => resolve('refused') };
        document.head.append(Object.assign(document.createElement('script'), script));
      }),
    `${broker.origin}/history/script`,
  );
  assert.equal(ran, 'refused');
});
