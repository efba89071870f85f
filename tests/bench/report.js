// Makes of a comparison's lines the tables of docs/performance.md and its plots.
//   node report.js RESULTS.jsonl DOCUMENT.md FOLDER
// The tables go between the marks of the document, the plots into the folder beside it.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { figures, median } from './figures.js';
import { bars, curves } from './plot.js';
import { EARLIER, PARTIES, TARGETS, WORKS } from './works.js';

/** Of the time; who waits longer for the core that it is pinned to is measured beside others. */
const STARVED = 0.1;
const FRAME = /(<!-- results -->\n)[^]*?(<!-- end of results -->)/;

/** Of each work and party: the median, least and most of each figure, and the curve of its first sweep. */
export function summarise(entries) {
  const found = {};
  for (const { work, party, result } of entries.filter((entry) => entry.result)) {
    const all = ((found[work] ??= {})[party] ??= []);
    all.push(figures(WORKS[work].command, result));
  }
  const condense = (runs) => {
    const names = [...new Set(runs.flatMap((run) => Object.keys(run)))];
    const numbers = names.filter((name) => runs.some((run) => Number.isFinite(run[name])));
    const spread = (name) => {
      const values = runs.map((run) => run[name]).filter(Number.isFinite);
      return [name, { value: median(values), least: Math.min(...values), most: Math.max(...values) }];
    };
    return {
      ...Object.fromEntries(numbers.map(spread)),
      runs: runs.length,
      kept: runs.every((run) => run.kept !== false),
      limited: runs.some((run) => run.limited),
      points: runs[0].points ?? [],
    };
  };
  const each = (object, make) => Object.fromEntries(Object.entries(object).map(([key, value]) => [key, make(value)]));
  return each(found, (parties) => each(parties, condense));
}

const value = (summary, work, party, metric) => summary[work]?.[party]?.[metric]?.value;

/** What became of a target: `reached` is true, false, or undefined where something was not measured. */
export function judge(target, summary) {
  const { work, of, metric, than, instead, most, least } = target;
  const own = value(summary, work, of, metric);
  const measured = (parties) => parties.filter((party) => value(summary, work, party, metric) !== undefined);
  let against;
  if (than) {
    // The best of them: what costs least, or brings most.
    const sorted = measured(than).sort(
      (a, b) => value(summary, work, a, metric) - value(summary, work, b, metric),
    );
    against = least === undefined ? sorted[0] : sorted.at(-1);
  } else if (instead) {
    [against] = measured(instead);
  }
  const relative = than || instead;
  const other = against && value(summary, work, against, metric);
  const figure = relative ? own / other : own;
  // Whose place nobody, or somebody lesser, has taken.
  const absent = [...(than ?? []), ...(instead ?? []).slice(0, 1)].filter((party) => !measured([party]).length);
  if (!Number.isFinite(figure)) return { own, against, other, absent };
  return { own, against, other, absent, figure, reached: least === undefined ? figure <= most : figure >= least };
}

const digits = (n) => {
  if (n === undefined) return '–';
  if (n === 0) return '0';
  if (n >= 1000) return Math.round(n).toLocaleString('en');
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
};
const UNITS = {
  cpu: (n) => `${digits(n)} µs`,
  arrival: (n) => `${digits(n)} µs`,
  memory: (n) => `${digits(n)} B`,
  deliveries: (n) => `${digits(n)}/s`,
};

export function targets(summary) {
  const rows = TARGETS.map((target) => {
    const { own, against, other, absent, figure, reached } = judge(target, summary);
    const unit = UNITS[target.metric];
    const relative = target.than || target.instead;
    const bound = target.least === undefined ? `≤ ${show(target.most)}` : `≥ ${show(target.least)}`;
    const remarks = [
      ...(summary[target.work]?.[target.of]?.limited ? ['the generator was at its limit'] : []),
      ...absent.map((party) => `${PARTIES[party].peer} was not measured`),
    ];
    return [
      target.about,
      own === undefined ? '–' : unit(own),
      against ? `${PARTIES[against].name}: ${unit(other)}` : relative ? 'not measured' : '–',
      relative ? `${bound} ×` : `${bound} B`,
      figure === undefined ? '–' : relative ? `${digits(figure)} ×` : unit(figure),
      [reached === undefined ? 'not measured' : reached ? 'met' : '**missed**', ...remarks].join('; '),
    ];
  });
  return table(['', 'weft', 'compared with', 'target', 'weft / other', ''], rows);
}

const show = (n) => n.toLocaleString('en');

function table(head, rows) {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

const spread = (entry, name) => {
  const found = entry[name];
  if (!found) return '–';
  const range = entry.runs > 1 && found.least !== found.most ? ` (${digits(found.least)}–${digits(found.most)})` : '';
  return `${digits(found.value)}${range}`;
};
const plain = (entry, name) => digits(entry[name]?.value);

// The columns of each command's table; `times` is the one that is also told as a multiple of weft's.
const COLUMNS = {
  fanout: {
    times: 'cpu',
    'CPU µs / message': (entry) => spread(entry, 'cpu'),
    'p50 ms': (entry) => plain(entry, 'p50'),
    'p99 ms': (entry) => spread(entry, 'p99'),
    'messages / response': (entry) => plain(entry, 'batch'),
    'bytes / message': (entry) => plain(entry, 'wire'),
    'its core': (entry) => plain(entry, 'core'),
    'waited for it': (entry) => plain(entry, 'waited'),
  },
  sweep: {
    times: 'deliveries',
    'deliveries / s': (entry) => spread(entry, 'deliveries') + (entry.limited ? ' (generator at its limit)' : ''),
    'published / s': (entry) => plain(entry, 'rate'),
    'CPU µs / message': (entry) => plain(entry, 'cpu'),
    'messages / response': (entry) => plain(entry, 'batch'),
    'p99 ms': (entry) => plain(entry, 'p99'),
    'its core': (entry) => plain(entry, 'core'),
    'waited for it': (entry) => plain(entry, 'waited'),
  },
  idle: {
    times: 'memory',
    'bytes / session': (entry) => spread(entry, 'memory'),
    'CPU µs / arrival': (entry) => spread(entry, 'arrival'),
    'arrivals / s': (entry) => plain(entry, 'pace'),
    'one message to all, ms': (entry) => plain(entry, 'broadcast'),
  },
  publish: {
    times: 'cpu',
    'CPU µs / message': (entry) => spread(entry, 'cpu'),
    'published / s': (entry) => spread(entry, 'published'),
    'p50 ms': (entry) => plain(entry, 'p50'),
    'p99 ms': (entry) => plain(entry, 'p99'),
    'its core': (entry) => plain(entry, 'core'),
    'waited for it': (entry) => plain(entry, 'waited'),
  },
};

function workTable(work, summary) {
  const { parties, command } = WORKS[work];
  const { times, ...columns } = COLUMNS[command];
  const there = parties.filter((party) => summary[work][party]);
  const own = there.find((party) => PARTIES[party].peer === 'weft');
  const base = own && value(summary, work, own, times);
  const rows = there.map((party) => {
    const entry = summary[work][party];
    const ratio = entry[times]?.value / base;
    const made = Object.values(columns).map((make) => make(entry));
    const name = command === 'publish' ? PARTIES[party].peer : PARTIES[party].name;
    return [name, made[0], Number.isFinite(ratio) ? digits(ratio) : '–', ...made.slice(1)];
  });
  const names = Object.keys(columns);
  return table(['', names[0], '× weft', ...names.slice(1)], rows);
}

/** CometD for Java by way of a peer that was measured then and now. */
export function byWayOf(summary) {
  const rows = EARLIER.flatMap(({ about, work, metric, of, yardstick, then, cometd }) => {
    const now = value(summary, work, yardstick, metric);
    const own = value(summary, work, of, metric);
    if (now === undefined || own === undefined) return [];
    const unit = UNITS[metric];
    const likely = (own / now) * (then / cometd);
    return [[about, unit(cometd), unit(then), unit(now), unit(own), `${digits(likely)} ×`]];
  });
  if (rows.length === 0) return '';
  return table(
    ['', 'CometD for Java, then', 'nchan, then', 'nchan, now', 'weft, now', 'weft / CometD, by way of nchan'],
    rows,
  );
}

const curve = (summary, work) =>
  Object.entries(summary[work] ?? {}).map(([party, { points }]) => ({
    name: PARTIES[party].name.replace(/, (long-polling|WebSocket)$/, ''),
    colour: PARTIES[party].colour,
    points: points
      .filter(({ cpu, deliveries }) => cpu > 0 && deliveries > 0)
      .map(({ cpu, deliveries }) => [deliveries, cpu])
      .sort((a, b) => a[0] - b[0]),
  }));

const group = (summary, work, metric, name) => ({
  name,
  bars: (WORKS[work].parties ?? [])
    .filter((party) => value(summary, work, party, metric) !== undefined)
    .map((party) => ({
      name: PARTIES[party].name,
      value: value(summary, work, party, metric),
      colour: PARTIES[party].colour,
    })),
});

/** The plots by name; those without anything to show are left out. */
export function plots(summary) {
  const load = { x: 'deliveries a second', y: 'CPU of the server, µs a message' };
  const all = {
    'cpu-long-polling': curves({
      ...load,
      title: 'Long-polling, 1,000 subscribers: what a message costs under load',
      series: curve(summary, 'overload-lp'),
    }),
    'cpu-websocket': curves({
      ...load,
      title: 'WebSocket, 100 subscribers: what a message costs under load',
      series: curve(summary, 'overload-ws'),
    }),
    memory: bars({
      title: 'Memory of the server for a session that waits',
      unit: 'bytes a session (resident)',
      groups: [
        group(summary, 'idle-lp', 'memory', 'long-polling'),
        group(summary, 'idle-ws', 'memory', 'WebSocket'),
      ],
    }),
    peak: bars({
      title: 'The most that one core delivers in time',
      unit: 'deliveries a second',
      groups: [
        group(summary, 'overload-lp', 'deliveries', 'long-polling, 1,000 subscribers, p99 within a second'),
        group(summary, 'overload-ws', 'deliveries', 'WebSocket, 100 subscribers, p99 within a second'),
        group(summary, 'rooms-lp', 'deliveries', 'rooms, long-polling, p99 below 100 ms'),
      ],
    }),
  };
  return Object.fromEntries(Object.entries(all).filter(([, drawing]) => drawing));
}

/** What went wrong or was left out, a line each. */
export function complaints(entries) {
  const [about] = entries;
  const absent = Object.entries(about.absent ?? {}).map(([peer, reason]) => `NOT MEASURED: ${peer}: ${reason}`);
  const failed = entries
    .filter((entry) => entry.failure)
    .map(({ work, party, round, failure }) => `FAILED: ${work}, ${party}, round ${round}: ${failure}`);
  const wrong = entries.flatMap(({ work, party, round, result }) => {
    if (!result || WORKS[work].command === 'sweep') return [];
    const { wrong: count, kept } = figures(WORKS[work].command, result);
    return [
      ...(count > 0 ? [`${work}, ${party}, round ${round}: ${count} lost, repeated, out of order or failed`] : []),
      ...(kept === false && WORKS[work].command === 'fanout' ? [`${work}, ${party}, round ${round}: did not keep up`] : []),
    ];
  });
  const runs = entries.filter(({ result }) => result);
  const starved = runs.filter(({ work, result }) => figures(WORKS[work].command, result).waited > STARVED).length;
  const busy =
    `the machine was not quiet: in ${starved} of ${runs.length} runs the server waited for its core for more than ` +
    `${STARVED * 100} % of the time; rates and latencies are lower bounds then`;
  return [...absent, ...failed, ...wrong, ...(starved > 0 ? [busy] : [])];
}

/** The text between the document's marks. */
export function report(entries, folder) {
  const [about] = entries;
  const summary = summarise(entries);
  const drawings = plots(summary);
  const picture = (name, words) => (drawings[name] ? `![${words}](${folder}/${name}.svg)\n` : '');
  const loads = entries.map(({ load }) => load).filter(Number.isFinite);
  const form = about.quick ? 'the quick form: it shows that all works, its figures mean little' : 'the long form';
  const works = Object.keys(WORKS).filter((work) => summary[work]);
  const troubles = complaints(entries);
  const earlier = byWayOf(summary);
  const parts = [
    `Measured ${about.date}, ${form}; rounds: ${about.rounds}. Machine: ${about.machine}; load average while measuring ` +
      `${digits(Math.min(...loads))} to ${digits(Math.max(...loads))} (server and generator are 2 of it at most).\n`,
    Object.entries(about.versions)
      .map(([peer, version]) => `- ${peer}: ${version}\n`)
      .join(''),
    troubles.map((trouble) => `- ${trouble}\n`).join(''),
    '## Targets\n',
    targets(summary),
    earlier && `### CometD for Java, from earlier figures\n\n${EARLIER_WORDS}\n\n${earlier}`,
    '## Plots\n',
    picture('cpu-long-polling', 'CPU per message against load, long-polling'),
    picture('cpu-websocket', 'CPU per message against load, WebSocket'),
    picture('memory', 'memory per idle session'),
    picture('peak', 'peak deliveries a second'),
    '## All figures\n',
    'Medians (least–most of the rounds). “× weft” is the peer’s figure divided by weft’s.\n',
    ...works.flatMap((work) => {
      const first = entries.find((entry) => entry.work === work && entry.options);
      return [
        `### ${WORKS[work].title}\n`,
        workTable(work, summary),
        `\`weft bench ${WORKS[work].command} ${first.options.join(' ')}\`\n`,
      ];
    }),
  ];
  return { text: parts.filter(Boolean).join('\n'), drawings };
}

const EARLIER_WORDS =
  'These are no results of this comparison. A CometD 5.0 built from source (Jetty 9.4.57, Java 17) was measured ' +
  'once, in November 2026, on a machine of this kind and with another generator, beside nchan. Where nchan is ' +
  'measured now, it is the yardstick: what weft is to nchan now, by what CometD was to nchan then.';

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [from, to, folder] = process.argv.slice(2);
  const entries = (await readFile(from, 'utf8')).trim().split('\n').map((line) => JSON.parse(line));
  const { text, drawings } = report(entries, basename(folder));
  const document = await readFile(to, 'utf8');
  if (!FRAME.test(document)) throw new Error(`${to} has no place for results`);
  await writeFile(to, document.replace(FRAME, (_, begin, end) => `${begin}${text}${end}`));
  await mkdir(folder, { recursive: true });
  for (const [name, drawing] of Object.entries(drawings)) await writeFile(join(folder, `${name}.svg`), drawing);
  console.log(`${to} and ${Object.keys(drawings).length} plots are written`);
}
