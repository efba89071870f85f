// What all tests here stand on: a broker of their own, and waits with deadlines.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BINARY =
  process.env.WEFT_BIN ?? fileURLToPath(new URL('../../target/release/weft', import.meta.url));

// No test may hang: a slow machine takes seconds, not a minute.
export const BOUND = { timeout: 90_000 };

// Waits until `check` gives something true, and returns that.
export async function eventually(what, check, ms = 15_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const result = await check();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export class Broker {
  #child;
  #exit;
  #log = '';
  #args;
  #directory;

  // `config` is TOML; `args` go to the command line; `scheme` is https where `config` says so. Ends
  // with the test.
  static async start(t, { config = '', args = [], scheme = 'http' } = {}) {
    const broker = new Broker();
    broker.scheme = scheme;
    broker.#directory = await mkdtemp(join(tmpdir(), 'weft-js-'));
    const file = join(broker.#directory, 'weft.toml');
    await writeFile(file, config);
    broker.#args = ['--config', file, '--data', join(broker.#directory, 'data'), ...args];
    t.after(() => broker.#end());
    await broker.#launch('127.0.0.1:0', '127.0.0.1:0');
    return broker;
  }

  get url() {
    return `${this.origin}/bayeux`;
  }

  get origin() {
    return `${this.scheme}://${this.address}`;
  }

  async #launch(listen, admin) {
    this.#log = '';
    const args = ['--listen', listen, '--admin', admin, ...this.#args];
    const child = spawn(BINARY, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    this.#exit = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.#log += text;
    });
    const [, address, adminAddress] = await eventually('the broker listens', async () => {
      const gone = await Promise.race([this.#exit, false]);
      if (gone) throw new Error(`the broker ended (${JSON.stringify(gone)}): ${this.#log}`);
      return /listening addr=(\S+) admin=(\S+)/.exec(this.#log);
    });
    this.address = address;
    this.admin = adminAddress;
  }

  // As operators do; the broker ends by itself and says that all is well.
  async stop() {
    this.#child.kill('SIGTERM');
    const { code, signal } = await this.#exit;
    if (code !== 0) throw new Error(`stopped with ${code ?? signal}: ${this.#log}`);
  }

  async kill() {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }

  // With the same data, on the same port.
  restart() {
    return this.#launch(this.address, this.admin);
  }

  // The sum over all labels.
  async metric(name) {
    const text = await (await fetch(`http://${this.admin}/metrics`)).text();
    const values = [...text.matchAll(/^([a-z_]+)(?:\{[^}]*\})? (\S+)$/gm)]
      .filter((line) => line[1] === name)
      .map((line) => Number(line[2]));
    if (values.length === 0) throw new Error(`no such metric: ${name}`);
    return values.reduce((sum, value) => sum + value);
  }

  async #end() {
    this.#child.kill('SIGKILL');
    await this.#exit.catch(() => {});
    await rm(this.#directory, { recursive: true, force: true });
  }
}

// Numbers for messages: publishing [0, n) and getting it back proves that
// nothing was lost, repeated or reordered.
export const range = (n, from = 0) => Array.from({ length: n }, (_, i) => from + i);

export const dataOf = (status, channel) =>
  status.received.filter(([name]) => name === channel).map(([, data]) => data);
