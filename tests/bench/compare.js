// Runs every work on every peer in turns, round by round, so that whatever else the machine does hits
// all alike, and writes a line of JSON for each run. What it takes is told by compare.sh.
import { appendFileSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { figures } from './figures.js';
import { generate, install, ROOT, start, version } from './run.js';
import { PARTIES, PEERS, WARM_UP, WARM_UP_SECONDS, WORKS } from './works.js';

const LIMIT = { fanout: 90, rooms: 90, idle: 180, publish: 60, sweep: 420 };

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    peers: { type: 'string' },
    work: { type: 'string' },
    out: { type: 'string' },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5));
const works = chosen(values.work, Object.keys(WORKS), 'work');
const peers = chosen(values.peers, values.quick ? PEERS.filter((peer) => peer !== 'faye') : PEERS, 'peer', PEERS);
const out = values.out ?? join(ROOT, 'target/bench', values.quick ? 'quick.jsonl' : 'compare.jsonl');

function chosen(list, standard, kind, all = standard) {
  if (list === undefined) return standard;
  const names = list.split(',');
  const unknown = names.filter((name) => !all.includes(name));
  if (unknown.length > 0) throw new Error(`no ${kind} ${unknown.join(', ')}; there are ${all.join(', ')}`);
  return names;
}

if (!(rounds >= 1)) throw new Error('--rounds takes a number from 1');
if (availableParallelism() < 2) throw new Error('server and generator need a core each');

mkdirSync(dirname(out), { recursive: true });
const unfinished = `${out}.new`;
rmSync(unfinished, { force: true });
const note = (entry) => appendFileSync(unfinished, `${JSON.stringify(entry)}\n`);

const absent = {};
const versions = {};
for (const peer of peers) {
  const reason = install(peer);
  if (reason === undefined) versions[peer] = version(peer);
  else absent[peer] = reason;
  console.log(reason === undefined ? `${peer}: ${versions[peer]}` : `NOT MEASURED: ${peer}: ${reason}`);
}
const [{ model }] = cpus();
const kernel = release();
note({
  about: 'comparison',
  date: new Date().toISOString().slice(0, 10),
  quick: values.quick,
  rounds,
  machine: `${cpus().length} cores of ${model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${kernel}`,
  versions,
  absent,
});

/** One run on a server of its own. */
async function measure(work, name, round, best) {
  const { command, args, quick, fresh, ...more } = WORKS[work];
  const party = PARTIES[name];
  // Where a party was best once, later sweeps of it need not begin far below.
  const first = values.quick ? more.quickFrom : more.from;
  const begin = first === undefined ? [] : ['--from', String(best ? Math.max(1, best / 2) : first)];
  const options = [...merged(args, values.quick ? quick : []), ...begin];
  const entry = { work, party: name, round, options, load: loadavg()[0] };
  const server = await start(party.peer);
  try {
    const to = party.args(server.port);
    const warm = [...WARM_UP, WARM_UP_SECONDS[values.quick ? 'quick' : 'long']];
    if (!fresh) await generate([...warm, ...to], LIMIT.fanout);
    const found = await generate([command, ...options, ...to, '--server-pid', String(server.pid)], LIMIT[command]);
    return { ...entry, result: found };
  } catch (error) {
    return { ...entry, failure: error.message };
  } finally {
    await server.stop();
  }
}

/** Options with others in place of those of the same name. */
function merged(args, others) {
  const pairs = (list) => list.flatMap((each, index) => (index % 2 ? [] : [[each, list[index + 1]]]));
  return [...new Map([...pairs(args), ...pairs(others)])].flat();
}

const best = {};
for (let round = 1; round <= rounds; round += 1) {
  for (const work of works) {
    const parties = WORKS[work].parties.filter((name) => PARTIES[name].peer in versions);
    // Nobody is always first, or always behind the same neighbour.
    const turn = [...parties.slice((round - 1) % parties.length), ...parties.slice(0, (round - 1) % parties.length)];
    for (const name of turn) {
      const key = `${work} ${name}`;
      const entry = await measure(work, name, round, best[key]).catch((error) => ({
        ...{ work, party: name, round, failure: error.message },
      }));
      note(entry);
      const told = entry.failure ?? summary(work, entry.result);
      console.log(`round ${round}, ${work}, ${name}: ${told}`);
      if (!entry.failure && round === 1) best[key] = figures(WORKS[work].command, entry.result).rate;
    }
  }
}
renameSync(unfinished, out);

function summary(work, result) {
  const found = figures(WORKS[work].command, result);
  const parts = Object.entries(found).filter(([, value]) => Number.isFinite(value));
  return parts.map(([name, value]) => `${name} ${Math.round(value * 100) / 100}`).join(', ');
}
