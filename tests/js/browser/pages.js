// Headless Chromium, and a small server on another port for the stock clients'
// files and for pages of another origin.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Peer } from '../peers.js';

const ROOTS = {
  cometd: '../node_modules/cometd/',
  drivers: '../drivers/',
  faye: '../node_modules/faye/client/',
  weft: '../../../clients/js/',
};

const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--host-resolver-rules=MAP localhost 127.0.0.1',
];

// One browser and one server for all tests of a file.
export function browserForTests() {
  const world = {};
  before(async () => {
    world.assets = await serveAssets();
    world.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: SWITCHES,
    });
  });
  after(async () => {
    await world.browser?.close();
    world.assets?.server.close();
  });
  return world;
}

async function serveAssets() {
  const server = createServer(async ({ url }, response) => {
    const [, root, name] = /^\/(\w+)\/([\w./-]+)$/.exec(url) ?? [];
    if (url === '/') {
      response.setHeader('Content-Type', 'text/html');
      response.end('<!doctype html><link rel="icon" href="data:,"><title>elsewhere</title>');
    } else if (ROOTS[root] && !name.includes('..')) {
      const file = new URL(ROOTS[root] + name, import.meta.url);
      // Modules are only imported from another origin that allows it.
      response.setHeader('Access-Control-Allow-Origin', '*');
      response.setHeader('Content-Type', 'text/javascript');
      response.end(await readFile(file).catch(() => ''));
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  return { server, port, origin: `http://127.0.0.1:${port}` };
}

// Where a page that talks to the broker may come from.
export const PLACES = {
  // Any document of the broker's will do; a stylesheet runs no script of its own.
  'same-origin': ({ origin }) => `${origin}/demo/demo.css`,
  // Another port is another origin of the same site: cookies are shared.
  'cross-origin': (_, assets) => `${assets.origin}/`,
  // Another name is another site: the broker's cookie does not come along.
  'cross-site': (_, assets) => `http://localhost:${assets.port}/`,
};

// A browser of its own, as far as cookies go.
export async function newContext(t, { browser }) {
  // The broker's policy is for its pages, not for what the test puts into them; and a certificate that
  // a test has made up says nothing.
  const context = await browser.newContext({ bypassCSP: true, ignoreHTTPSErrors: true });
  t.after(() => context.close());
  return context;
}

// One client in one page. `options` go to the driver.
export class PagePeer extends Peer {
  requests = []; // those to the broker: { at, connect, headers, open }
  responses = [];
  #open = async () => {};

  static async start(context, world, broker, { library, place = 'same-origin', ...options }) {
    const peer = new PagePeer();
    peer.page = await context.newPage();
    peer.#watch(broker);
    peer.#open = () =>
      peer.page.evaluate(run, {
        library,
        options: { ...options, crossOrigin: place !== 'same-origin' },
        url: broker.url,
        assets: world.assets.origin,
      });
    await peer.page.goto(PLACES[place](broker, world.assets));
    await peer.#open();
    return peer;
  }

  // The user reloads the page, and its script starts over.
  async reload() {
    await this.page.reload();
    await this.#open();
  }

  call(method, ...args) {
    return this.page.evaluate(([name, rest]) => globalThis.peer[name](...rest), [method, args]);
  }

  #watch(broker) {
    const ours = (request) => request.url().startsWith(`${broker.url}`);
    const entries = new Map();
    this.page.on('request', (request) => {
      if (!ours(request)) return;
      const text = `${decodeURIComponent(request.url())} ${request.postData() ?? ''}`;
      const entry = {
        at: Date.now(),
        connect: text.includes('/meta/connect'),
        headers: request.headers(),
        url: request.url(),
        alongside: [...entries.values()].filter(({ open }) => open).length,
        open: true,
      };
      entries.set(request, entry);
      this.requests.push(entry);
    });
    const ended = (request) => {
      if (entries.has(request)) entries.get(request).open = false;
    };
    this.page.on('requestfinished', ended);
    this.page.on('requestfailed', ended);
    this.page.on('response', (response) => {
      if (ours(response.request())) this.responses.push(response);
    });
  }
}

// Runs in the page.
async function run({ library, options, url, assets }) {
  const ours = async () => {
    const { Replay } = await import(`${assets}/weft/replay.js`);
    return { ReplayExtension: Replay, ...(await import(`${assets}/weft/websocket.js`)) };
  };
  const load = {
    cometd: async () => {
      const { CometdDriver } = await import(`${assets}/drivers/cometd.js`);
      const cometd = await import(`${assets}/cometd/cometd.js`);
      return [CometdDriver, { ...cometd, ...(await ours()) }];
    },
    faye: async () => {
      await new Promise((onload, onerror) => {
        const src = `${assets}/faye/faye-browser-min.js`;
        document.head.append(Object.assign(document.createElement('script'), { src, onload, onerror }));
      });
      const { FayeDriver } = await import(`${assets}/drivers/faye.js`);
      return [FayeDriver, { ...globalThis.Faye, ...(await ours()) }];
    },
    weft: async () => {
      const { WeftDriver } = await import(`${assets}/drivers/weft.js`);
      return [WeftDriver, await import(`${assets}/weft/weft.js`)];
    },
  };
  const [Driver, loaded] = await load[library]();
  globalThis.peer = new Driver(loaded, url, options);
  await globalThis.peer.start();
}
