// What sessions cost weft in memory and CPU, and what that makes for a million of them.
//   node capacity.js --document DOCUMENT.md [--quick]
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { figures, median } from './figures.js';
import { cpu, resident, sockets } from './kernel.js';
import { generate, sleep, start, version } from './run.js';

const FRAME = /(<!-- figures -->\n)[^]*?(<!-- end of figures -->)/;
const TRANSPORTS = { 'long-polling': '/bayeux', websocket: '/bayeux', sse: '', ndjson: '' };
const MILLION = 1_000_000;
const LIMIT = 240;
const POLL_SECONDS = 30;

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, document: { type: 'string' } },
});
const files = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1]);
const wanted = values.quick ? [500, 1000] : [1000, 5000, 10_000, 18_000];
const sizes = wanted.filter((size) => size <= files - 500);
const most = sizes.at(-1);

/** Looks at the kernel five times a second while something runs. */
async function watched(run) {
  const before = sockets();
  const samples = [];
  const timer = setInterval(() => samples.push(sockets()), 200);
  const result = await run.finally(() => clearInterval(timer));
  // Those with everybody there.
  const peak = Math.max(...samples.map((sample) => sample.sockets));
  const full = samples.filter((sample) => sample.sockets >= peak * 0.99);
  // Of one end of a connection: the other is the generator's.
  const grown = (name) => median(full.map((sample) => sample[name])) - before[name];
  const each = (name) => Math.max(0, grown(name)) / (peak - before.sockets);
  return { result, seen: { slab: before.slab && each('slab'), buffers: each('buffers') } };
}

const target = (server, transport) => [
  ...['--url', `http://127.0.0.1:${server.port}${TRANSPORTS[transport]}`, '--protocol', transport],
  ...['--server-pid', String(server.pid), '--source-addresses', '8'],
];

async function idle(transport, clients) {
  const server = await start('weft');
  try {
    const begin = resident(server.pid);
    const args = ['idle', '--clients', String(clients), '--hold', values.quick ? '2' : '6'];
    const { result, seen } = await watched(generate([...args, ...target(server, transport)], LIMIT));
    return { transport, clients, begin, ...figures('idle', result), ...seen };
  } finally {
    await server.stop();
  }
}

/** How many connections wait to be taken in before further ones are turned away. */
function acceptQueue(port) {
  const { stdout } = spawnSync('ss', ['-ltnH', `sport = :${port}`], { encoding: 'utf8' });
  return Number(/^LISTEN\s+\d+\s+(\d+)/.exec(stdout ?? '')?.[1] ?? NaN);
}

/** Everybody, so many `at` once, after a restart of a server that has something on disk. */
async function storm(transport, clients, at) {
  const first = await start('weft');
  try {
    const args = ['fanout', '--subscribers', '10', '--rate', '500', '--seconds', '3'];
    await generate([...args, ...target(first, transport)], LIMIT);
  } finally {
    await first.stop({ name: 'SIGKILL', keep: true });
  }
  const began = Date.now();
  const server = await start('weft', first);
  const restart = Date.now() - began;
  const queue = acceptQueue(server.port);
  try {
    const args = ['idle', '--clients', String(clients), '--connect-concurrency', String(at), '--hold', '1'];
    const result = await generate([...args, ...target(server, transport)], LIMIT);
    return { transport, clients, at, restart, queue, ...figures('idle', result) };
  } finally {
    await server.stop();
  }
}

/** What a poll costs that brings nothing: with holds of a second, counted by the server's own metrics. */
async function polls(clients) {
  const server = await start('weft', { env: { WEFT_SESSIONS_TIMEOUT: '1s' } });
  const replies = async () => {
    const text = await (await fetch(`http://127.0.0.1:${server.port + 1}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith('weft_responses_total'));
    return { at: cpu(server.pid), replies: lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0) };
  };
  try {
    const args = ['idle', '--clients', String(clients), '--hold', '12', ...target(server, 'long-polling')];
    const run = generate(args, LIMIT);
    const measured = (async () => {
      const before = sockets().sockets;
      for (let tries = 0; sockets().sockets < before + clients && tries < 100; tries += 1) await sleep(100);
      await sleep(2000);
      const from = await replies();
      await sleep(6000);
      return { from, to: await replies() };
    })();
    const [{ from, to }] = await Promise.all([measured, run]);
    const count = to.replies - from.replies;
    return { count, micros: ((to.at - from.at) * 1e6) / count };
  } finally {
    await server.stop();
  }
}

const whole = (n) => (Number.isFinite(n) ? Math.round(n).toLocaleString('en') : '–');
const tenth = (n) => (Number.isFinite(n) ? (Math.round(n * 10) / 10).toLocaleString('en') : '–');
const table = (head, rows) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');

const attempt = async (what, run) => {
  try {
    const found = await run();
    console.log(`${what}: ${JSON.stringify(found)}`);
    return found;
  } catch (error) {
    console.log(`NOT MEASURED: ${what}: ${error.message}`);
    return { failure: `NOT MEASURED: ${what}: ${error.message}` };
  }
};

const waiting = [];
for (const clients of sizes) {
  for (const transport of Object.keys(TRANSPORTS)) {
    waiting.push(await attempt(`${clients} × ${transport}`, () => idle(transport, clients)));
  }
}
const storms = [];
for (const transport of ['long-polling', 'websocket']) {
  for (const at of [most, 64]) {
    storms.push(await attempt(`a storm of ${most} by ${transport}, ${at} at once`, () => storm(transport, most, at)));
  }
}
const empty = await attempt('polls that bring nothing', () => polls(Math.min(2000, most)));

/** Resident bytes that each further session takes, and the process without any. */
function line(transport) {
  const found = waiting.filter((each) => each.transport === transport && each.memory !== undefined);
  const last = found.at(-1);
  return last && { session: last.memory, base: last.begin, slab: last.slab, buffers: last.buffers };
}

function arithmetic() {
  const rows = Object.keys(TRANSPORTS).flatMap((transport) => {
    const found = line(transport);
    if (!found) return [];
    const { session, slab = 0, buffers, base } = found;
    const total = session + slab + buffers;
    return [
      [
        transport,
        `${whole(session)} + ${whole(slab)} + ${whole(buffers)} = ${whole(total)} B`,
        `${tenth((MILLION * session + base) / 1e9)} GB`,
        `${tenth((MILLION * total + base) / 1e9)} GB`,
      ],
    ];
  });
  const [stormed] = storms.filter((each) => each.arrival !== undefined);
  const perSecond = MILLION / POLL_SECONDS;
  return [
    table(['a million by', 'a session: resident + kernel objects + buffers', 'resident in all', 'with the kernel’s'], rows),
    empty.micros &&
      `- **Polls that bring nothing**: a million sessions whose polls are held for ${POLL_SECONDS} s come back ` +
        `${whole(perSecond)} times a second; at ${tenth(empty.micros)} µs each (of ${whole(empty.count)} polls) that is ` +
        `${tenth((perSecond * empty.micros) / 1e6)} cores. With \`sessions.timeout = "120s"\`, a quarter of it.\n`,
    stormed &&
      `- **Everybody comes back**: a million arrivals (handshake, subscribe, first connect) by long-polling at ` +
        `${tenth(stormed.arrival)} µs each are ${tenth((MILLION * stormed.arrival) / 1e6)} seconds of one core; on eight ` +
        `cores, if nothing but CPU limits, ${tenth((MILLION * stormed.arrival) / 8e6)} s.\n`,
  ]
    .filter(Boolean)
    .join('\n');
}

const failures = [...waiting, ...storms, empty].filter((each) => each.failure);
const text = [
  `Measured ${new Date().toISOString().slice(0, 10)}${values.quick ? ', the quick form: figures mean little' : ''}; ` +
    `${version('weft')}; ${cpus().length} cores of ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ` +
    `Linux ${release()}; ${files.toLocaleString('en')} open files a process; load average ${tenth(loadavg()[0])}. ` +
    'weft on one core, the generator on another.\n',
  failures.map(({ failure }) => `- ${failure}\n`).join(''),
  '## Idle sessions\n',
  table(
    ['sessions', 'transport', 'resident B', 'kernel objects B', 'buffers B', 'CPU µs / arrival'],
    waiting
      .filter((each) => !each.failure)
      .map((each) => [
        ...[whole(each.clients), each.transport, whole(each.memory), whole(each.slab), whole(each.buffers)],
        tenth(each.arrival),
      ]),
  ),
  '## After a restart\n',
  table(
    ['sessions', 'at once', 'transport', 'restart ms', 'accept queue', 'all are there after s', 'CPU µs / arrival'],
    storms
      .filter((each) => !each.failure)
      .map((each) => [
        ...[whole(each.clients), whole(each.at), each.transport, whole(each.restart), whole(each.queue)],
        ...[tenth(each.seconds), tenth(each.arrival)],
      ]),
  ),
  '## A million\n',
  arithmetic(),
]
  .filter(Boolean)
  .join('\n');

const document = readFileSync(values.document, 'utf8');
if (!FRAME.test(document)) throw new Error(`${values.document} has no place for figures`);
writeFileSync(
  values.document,
  document.replace(FRAME, (_, begin, end) => `${begin}${text}${end}`),
);
console.log(`${values.document} is written`);
