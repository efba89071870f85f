// gzip in a browser: it asks for it by itself, so stock clients get large batches compressed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BOUND, Broker, dataOf, range } from '../harness.js';
import { NodePeer } from '../peers.js';
import { browserForTests, newContext, PagePeer } from './pages.js';

const world = browserForTests();

for (const library of ['cometd', 'faye', 'weft']) {
  for (const transport of ['long-polling', 'callback-polling']) {
    const how = transport === 'long-polling' ? 'compressed' : 'as they are';
    test(`${library}, ${transport}: R20, R24: large batches, ${how}`, BOUND, async (t) => {
      const broker = await Broker.start(t);
      const context = await newContext(t, world);
      const peer = await PagePeer.start(context, world, broker, { library, transport });
      await peer.subscribe('/large');
      const publisher = await NodePeer.start(t, 'cometd', broker.url, { transport: 'long-polling' });
      const all = range(300).map((n) => ({ n, text: 'ünïcödé " \\ 🧵' }));
      await publisher.batch(all.map((data) => ['/large', data]));
      assert.deepEqual(dataOf(await peer.receives(300), '/large'), all);
      const headers = await Promise.all(peer.responses.map((response) => response.allHeaders()));
      const packed = headers.filter((header) => header['content-encoding'] === 'gzip');
      assert.equal(packed.length > 0, transport === 'long-polling');
      for (const header of packed) assert.match(header.vary, /Accept-Encoding/);
    });
  }
}
