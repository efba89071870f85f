// Chromium as a victim uses it, and the sites that it visits: an attacker's and one that the broker
// lists. Both serve the same pages, so that what fails on the one and works on the other fails by
// the rule and not by mistake.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { chromium } from 'playwright-core';
import { Broker } from '../harness.js';

const NAMES = ['evil.test', 'listed.test', 'localhost'];

const SWITCHES = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Frames of other sites are processes of their own, as people have them.
  '--site-per-process',
  // Newer browsers ask the user before a page reaches into this machine; older ones do not.
  '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets',
  `--host-resolver-rules=${NAMES.map((name) => `MAP ${name} 127.0.0.1`).join(', ')}`,
];

const PAGE = '<!doctype html><link rel="icon" href="data:,"><title>a page</title><p id="text">a page</p>';

// One browser and one server for all tests of a file.
export function sitesForTests() {
  const sites = {};
  before(async () => {
    const server = createServer((request, response) => {
      response.setHeader('Content-Type', 'text/html;charset=UTF-8');
      response.end(PAGE);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    Object.assign(sites, { server, port });
    sites.evil = `http://evil.test:${port}`;
    sites.listed = `http://listed.test:${port}`;
    sites.profile = await mkdtemp(join(tmpdir(), 'weft-chromium-'));
    await mkdir(join(sites.profile, 'Default'));
    // Cookies go along wherever SameSite lets them, as long as no browser blocked third parties'.
    const preferences = { profile: { cookie_controls_mode: 0 } };
    await writeFile(join(sites.profile, 'Default/Preferences'), JSON.stringify(preferences));
    sites.context = await chromium.launchPersistentContext(sites.profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: SWITCHES,
    });
  });
  after(async () => {
    await sites.context?.close();
    await rm(sites.profile, { recursive: true, force: true });
    sites.server?.closeAllConnections();
    sites.server?.close();
  });
  return sites;
}

// A broker that lists the one site. Its cookie is one that every site would send, as it must be for
// pages of listed origins: so nothing is refused for want of a cookie.
export function brokerThatLists(t, origins, more = '[browsers]\nsame_site = "None"\n') {
  const list = origins.map((origin) => `"${origin}"`).join(', ');
  return Broker.start(t, { config: `origins = [${list}]\n${more}` });
}

// A page in the browser as it was before any visit.
export async function newPage(t, { context }, url) {
  await context.clearCookies();
  const page = await context.newPage();
  t.after(() => page.close());
  if (url) await page.goto(url);
  return page;
}

export const HANDSHAKE = [
  { channel: '/meta/handshake', version: '1.0', supportedConnectionTypes: ['long-polling', 'callback-polling'] },
];

// What no browser is told: from node, past all rules of origin.
export async function ask(broker, messages) {
  const response = await fetch(broker.url, { method: 'POST', body: JSON.stringify(messages) });
  return response.json();
}

export async function session(broker, channel) {
  const [{ clientId }] = await ask(broker, HANDSHAKE);
  const connectionType = 'long-polling';
  const connect = () => ask(broker, [{ channel: '/meta/connect', clientId, connectionType }]);
  await connect();
  const subscribe = { channel: '/meta/subscribe', clientId, subscription: channel };
  const [{ successful }] = await ask(broker, [subscribe]);
  if (!successful) throw new Error('not subscribed');
  return { clientId, connect };
}

export const publish = (broker, channel, data) =>
  fetch(`${broker.origin}/publish${channel}`, { method: 'POST', body: JSON.stringify(data) });

export async function history(broker, channel) {
  const { messages } = await (await fetch(`${broker.origin}/history${channel}`)).json();
  return messages.map(({ data }) => data);
}

// What a page can try, as functions that run in it. Each gives what the page's script could learn.
export const TRIES = {
  script: (url) =>
    new Promise((resolve) => {
      let messages = null;
      globalThis.heard = (all) => {
        messages = all;
      };
      const src = `${url}&jsonp=heard`;
      const done = (loaded) => () => resolve({ loaded, heard: messages });
      const script = { src, onload: done(true), onerror: done(false) };
      document.head.append(Object.assign(document.createElement('script'), script));
    }),
  post: async ({ url, body, ...options }) => {
    try {
      const response = await fetch(url, { method: 'POST', credentials: 'include', body, ...options });
      return { type: response.type, status: response.status, text: await response.text() };
    } catch {
      return { failed: true };
    }
  },
  get: async ({ url, ...options }) => {
    try {
      const response = await fetch(url, { credentials: 'include', ...options });
      return { type: response.type, status: response.status, text: await response.text() };
    } catch {
      return { failed: true };
    }
  },
  beacon: ({ url, body }) => navigator.sendBeacon(url, body),
  image: (url) =>
    new Promise((resolve) => {
      const over = () => resolve(true);
      document.body.append(Object.assign(new Image(), { src: url, onload: over, onerror: over }));
    }),
  events: (url) =>
    new Promise((resolve) => {
      const source = new EventSource(url, { withCredentials: true });
      source.onopen = () => {
        source.close();
        resolve('open');
      };
      source.onerror = () => {
        source.close();
        resolve('refused');
      };
    }),
  socket: ({ url, text }) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.onopen = () => socket.send(text);
      socket.onmessage = ({ data }) => {
        socket.close();
        resolve(data);
      };
      socket.onerror = () => resolve('refused');
    }),
  // Into a frame, so that the page stays; `sandbox` makes its origin null.
  form: ({ url, enctype, fields, sandbox }) =>
    new Promise((resolve) => {
      const frame = Object.assign(document.createElement('iframe'), { name: 'target' });
      const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
      const inputs = fields.map(
        ([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`,
      );
      const form = `<form method="post" action="${url}" enctype="${enctype}">${inputs.join('')}</form>`;
      if (sandbox) frame.sandbox = 'allow-scripts allow-forms';
      // The first load is that of the form itself.
      let loads = 0;
      frame.onload = () => {
        loads += 1;
        if (loads > 1) resolve(true);
      };
      frame.srcdoc = `${form}<script>addEventListener('load', () => setTimeout(() => document.forms[0].submit()))</script>`;
      document.body.append(frame);
    }),
};

export const message = (messages) => encodeURIComponent(JSON.stringify(messages));
