// A peer is one client of one library with one cookie jar: in node a process of
// its own, since cometd-nodejs-client has one jar per process.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { eventually } from './harness.js';

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url));

// What tests do with a peer, wherever it runs; `call` reaches its driver.
export class Peer {
  start() {
    return this.call('start');
  }

  subscribe(channel) {
    return this.call('subscribe', channel);
  }

  unsubscribe(channel) {
    return this.call('unsubscribe', channel);
  }

  publish(channel, data) {
    return this.call('publish', channel, data);
  }

  batch(messages) {
    return this.call('batch', messages);
  }

  disconnect() {
    return this.call('disconnect');
  }

  status() {
    return this.call('status');
  }

  // Keeps no messages from now on, only what is to be known of numbers that come in sequence.
  count() {
    return this.call('count');
  }

  // What came of those, once all below `count` should have; or when time is up.
  reaches(count, ms = 15_000) {
    return this.call('reaches', count, ms);
  }

  // The status as soon as it satisfies the check.
  until(what, check, ms) {
    return eventually(
      what,
      async () => {
        const status = await this.status();
        return check(status) && status;
      },
      ms,
    );
  }

  // At least so many messages.
  receives(count, ms) {
    return this.until(`${count} messages`, ({ received }) => received.length >= count, ms);
  }
}

export class NodePeer extends Peer {
  #child;
  #calls = 0;
  #open = new Map();

  static async start(t, library, url, options = {}) {
    const peer = new NodePeer();
    peer.#child = fork(WORKER, [library, url, JSON.stringify(options)]);
    t.after(() => peer.#child.kill('SIGKILL'));
    peer.#child.on('message', ({ call, error, result }) => {
      const { resolve, reject } = peer.#open.get(call);
      peer.#open.delete(call);
      if (error) reject(new Error(`${library}: ${error}`));
      else resolve(result);
    });
    peer.#child.once('exit', () => {
      for (const { reject } of peer.#open.values()) reject(new Error(`${library}: the worker ended`));
    });
    await peer.call('start');
    return peer;
  }

  call(method, ...args) {
    this.#calls += 1;
    const call = this.#calls;
    return new Promise((resolve, reject) => {
      this.#open.set(call, { resolve, reject });
      this.#child.send({ call, method, args });
    });
  }
}
