// Starts servers and the generator, each on its own core, and ends them by their pids.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const WEFT = process.env.WEFT_BIN ?? join(ROOT, 'target/release/weft');
const [SERVER_CORE, GENERATOR_CORE] = (process.env.BENCH_CORES ?? '0,1').split(',');

const READY_WITHIN = 30_000;
const GONE_WITHIN = 5_000;

// Everything that runs because of us, and its files.
const running = new Set();
const folders = new Set();
process.once('exit', () => {
  for (const pid of running) signal(pid, 'SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => process.exit(1));

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

const within = (milliseconds, promise, what) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} takes more than ${milliseconds / 1000} s`)), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

export const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

const script = (peer) => join(HERE, 'peers', peer, 'peer.sh');
const setting = { ...process.env, WEFT_BIN: undefined };

/** Gets what the peer needs; the last line of what it complains of, or undefined. */
export function install(peer) {
  try {
    execFileSync(script(peer), ['install'], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 900_000 });
    return undefined;
  } catch (error) {
    // Without what colours it.
    const words = (error.stderr ?? '').toString().replace(/\x1b\[[0-9;]*m/g, '');
    return words.trim().split('\n').at(-1) || error.message;
  }
}

export const version = (peer) => execFileSync(script(peer), ['version'], { encoding: 'utf8', timeout: 30_000 }).trim();

// Below those that the system gives out by itself; the one above is for weft's metrics.
async function freePort() {
  for (;;) {
    const port = 20_000 + 2 * Math.floor(Math.random() * 5_000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
}

const isFree = (port) =>
  new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** A server of the peer on its core: its port, the pid that does the work, and how to end it. */
export async function start(peer, { env = {}, directory = mkdtempSync(join(tmpdir(), 'weft-bench-')), port } = {}) {
  port ??= await freePort();
  folders.add(directory);
  const log = openSync(join(directory, 'stderr'), 'a');
  const child = spawn('taskset', ['-c', SERVER_CORE, script(peer), 'start', String(port), directory], {
    stdio: ['ignore', 'pipe', log],
    env: { ...process.env, ...env },
  });
  closeSync(log);
  running.add(child.pid);
  const gone = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  const server = { peer, port, directory, pid: child.pid };
  server.stop = async ({ name = 'SIGTERM', keep = false } = {}) => {
    signal(child.pid, name);
    await within(GONE_WITHIN, gone, '').catch(() => {});
    for (const pid of new Set([server.pid, child.pid])) {
      signal(pid, 'SIGKILL');
      running.delete(pid);
    }
    await gone;
    if (keep) return;
    rmSync(directory, { recursive: true, force: true });
    folders.delete(directory);
  };
  const ready = new Promise((resolve, reject) => {
    createInterface(child.stdout).on('line', (words) => {
      const found = /^ready (\d+)$/.exec(words);
      if (found) resolve(Number(found[1]));
    });
    gone.then(() => reject(new Error(`${peer} ends: ${readFileSync(join(directory, 'stderr'), 'utf8').slice(-500)}`)));
  });
  try {
    server.pid = await within(READY_WITHIN, ready, `${peer}'s start`);
    running.add(server.pid);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

/** Runs the generator on its core, for so many seconds at most, and gives what it found. */
export async function generate(args, seconds) {
  const child = spawn('taskset', ['-c', GENERATOR_CORE, WEFT, 'bench', ...args, '--json', '-'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: setting,
  });
  running.add(child.pid);
  let output = '';
  let complaint = '';
  child.stdout.setEncoding('utf8').on('data', (more) => {
    output += more;
  });
  child.stderr.setEncoding('utf8').on('data', (more) => {
    complaint = (complaint + more).slice(-1000);
  });
  const done = new Promise((resolve) => child.once('close', resolve).once('error', resolve));
  try {
    const code = await within(seconds * 1000, done, `weft bench ${args[0]}`);
    const result = parsed(output);
    if (!result) throw new Error(`weft bench ${args[0]} ends with ${code}: ${complaint.trim().slice(-400)}`);
    return result;
  } finally {
    signal(child.pid, 'SIGKILL');
    await done;
    running.delete(child.pid);
  }
}

// The object that it ends with; a table for people may stand before.
function parsed(output) {
  const from = output.startsWith('{') ? 0 : output.indexOf('\n{') + 1;
  try {
    return JSON.parse(output.slice(from));
  } catch {
    return undefined;
  }
}
