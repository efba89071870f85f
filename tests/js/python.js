// The Python that tests/run.sh makes, and a client of PyPI's aiocometd-ng that runs in it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually } from './harness.js';

export const PYTHON =
  process.env.WEFT_PYTHON ??
  fileURLToPath(new URL('../../target/python/bin/python', import.meta.url));
const CLIENT = fileURLToPath(new URL('../python/client.py', import.meta.url));

export class PythonPeer {
  received = [];
  #child;
  #answers = []; // connection types, one for each order that is carried out
  #orders = 0;

  static start(t, url, transport) {
    assert.ok(existsSync(PYTHON), `${PYTHON}: tests/run.sh makes it`);
    const peer = new PythonPeer();
    peer.#child = spawn(PYTHON, [CLIENT, url, transport], { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface(peer.#child.stdout).on('line', (line) => {
      const { done, channel, data } = JSON.parse(line);
      if (done === undefined) peer.received.push([channel, data]);
      else peer.#answers.push(done);
    });
    t.after(() => peer.#child.kill('SIGKILL'));
    return peer;
  }

  subscribe(channel) {
    return this.#order({ subscribe: channel });
  }

  publish(channel, data) {
    return this.#order({ publish: [channel, data] });
  }

  close() {
    return this.#order({ close: true });
  }

  receives(count, ms) {
    return eventually(`${count} messages`, () => this.received.length >= count, ms);
  }

  // Resolves to the transport by which it is done; one order at a time.
  async #order(what) {
    this.#orders += 1;
    const number = this.#orders;
    this.#child.stdin.write(`${JSON.stringify(what)}\n`);
    await eventually(JSON.stringify(what), () => this.#answers.length >= number, 30_000);
    return this.#answers[number - 1];
  }
}
