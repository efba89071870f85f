// Stock clients behind a proxy, and what is published to them through it.
import assert from 'node:assert/strict';
import { dataOf, eventually } from '../js/harness.js';
import { NodePeer } from '../js/peers.js';
import { breakingProxy } from '../js/proxy.js';
import { witness } from './relays.js';

export const LIBRARIES = ['cometd', 'faye'];

// One client with a way of its own: a proxy that breaks when told to, one that writes down what the
// client is told, and then `proxy`.
export async function clientBehind(t, proxy, library, options = { transport: 'long-polling' }) {
  const seen = await witness(t, proxy);
  const wire = await breakingProxy(t, seen);
  const peer = await NodePeer.start(t, library, wire.url, options);
  const through = `${proxy.kind}-${proxy.config}`;
  return { library, peer, wire, through, statuses: seen.statuses };
}

// By POST, in this order.
export async function publish({ origin }, channel, numbers) {
  for (const number of numbers) {
    const response = await fetch(`${origin}/publish${channel}`, { method: 'POST', body: `${number}` });
    assert.equal(response.status, 200, await response.text());
  }
}

export const held = (broker, count) =>
  eventually(
    `${count} connects are held`,
    async () => (await broker.metric('weft_held_connects')) === count,
    30_000,
  );

// haproxy ends its connections to weft with a reset: after each reply if it makes one for each request,
// and otherwise when it has no more use for one. weft takes that for a reply that was lost, and sends
// its events again.
const REPEATS = ['haproxy-plain', 'haproxy-hostile'];

// All of these, in this order, and each once.
export async function receivesAll({ peer, library, through }, channel, numbers, ms = 30_000) {
  const status = await peer.until(
    `the last of ${numbers.length} messages`,
    (now) => dataOf(now, channel).includes(numbers.at(-1)),
    ms,
  );
  const data = dataOf(status, channel);
  const first = data.filter((number, at) => data.indexOf(number) === at);
  assert.deepEqual(first, numbers, `${library}: nothing lost, all in order`);
  if (!REPEATS.includes(through)) assert.equal(data.length, first.length, `${library}: nothing twice`);
  return { ...status, repeats: data.length - first.length };
}
