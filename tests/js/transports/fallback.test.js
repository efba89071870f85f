// Proxies that refuse a WebSocket, or grant it and swallow what goes by it: the clients find another
// way within seconds.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { browserForTests, newContext, PagePeer } from '../browser/pages.js';
import { BOUND, Broker, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { swallower, WAYS } from '../swallower.js';

const world = browserForTests();
// As docs/clients.md has it: cometd waits for ever unless it is told how long, and goes back to a
// socket that once opened unless it is told not to.
const SETTINGS = {
  cometd: { configuration: { connectTimeout: 2000, maxNetworkDelay: 2000, stickyReconnect: false } },
  faye: {},
};
const SECONDS = 20; // of a loaded machine
// A socket that goes dumb once it has worked shows by a connect that is not answered in its time.
const CONFIG = '[sessions]\ntimeout = "3s"\n';

// faye shakes hands by polling, and takes a socket that opened at its word.
const falls = ([way, { answer }], library) => library === 'cometd' || (answer ?? '') !== '';

describe('no WebSocket on the way', { concurrency: 4 }, () => {
  for (const library of Object.keys(SETTINGS)) {
    for (const place of ['node', 'Chromium']) {
      for (const [way, what] of Object.entries(WAYS).filter((entry) => falls(entry, library))) {
        test(`${library}, ${place}: R38: a proxy that ${way}: messages come within seconds`, BOUND, async (t) => {
          const broker = await Broker.start(t, { config: CONFIG });
          const proxy = await swallower(t, broker, what);
          const began = Date.now();
          const options = SETTINGS[library];
          const peer =
            place === 'node'
              ? await NodePeer.start(t, library, proxy.url, options)
              : await PagePeer.start(await newContext(t, world), world, proxy, { library, ...options });
          // What is swallowed with the socket is told to have failed: an application tries again.
          await peer.subscribe('/live').catch(() => peer.subscribe('/live'));
          const publish = (n) =>
            fetch(`${broker.origin}/publish/live`, { method: 'POST', body: JSON.stringify(n) });
          for (const n of range(10)) await publish(n);
          const { received, transport } = await peer.receives(10, SECONDS * 1000);
          const seconds = (Date.now() - began) / 1000;
          assert.deepEqual(received.map(([, data]) => data), range(10));
          // One that lets a reply through lets one through of each socket.
          if (!what.replies) assert.notEqual(transport, 'websocket');
          assert.ok(proxy.sockets > 0, 'a WebSocket was tried');
          assert.ok(seconds < SECONDS, `${seconds} s`);
          t.diagnostic(`${seconds} s`);
        });
      }
    }
  }
});
