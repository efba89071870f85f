import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { figures, median } from './figures.js';
import { slab } from './kernel.js';
import { bars, curves, marks, short } from './plot.js';
import { byWayOf, complaints, judge, plots, report, summarise, targets } from './report.js';
import { PARTIES, TARGETS, WORKS } from './works.js';

const fixture = fileURLToPath(new URL('fixture.jsonl', import.meta.url));
const entries = readFileSync(fixture, 'utf8').trim().split('\n').map((line) => JSON.parse(line));
const summary = summarise(entries);

test('medians are of what is there', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([undefined, 7]), 7);
  assert.equal(median([]), undefined);
});

test('each figure is the median of its rounds, between the least and the most', () => {
  assert.deepEqual(summary['light-lp']['weft-lp'].cpu, { value: 9, least: 8, most: 12 });
  assert.equal(summary['light-lp']['weft-lp'].runs, 3);
});

test('a sweep is as good as its best rate that kept up, and its curve is that of the first round', () => {
  const found = summary['overload-lp']['weft-lp'];
  assert.equal(found.deliveries.value, 300_000);
  assert.deepEqual(
    found.points.map(({ rate, kept }) => [rate, kept]),
    [
      [10, true],
      [100, true],
      [300, true],
      [600, false],
    ],
  );
});

test('a sweep in which nothing kept up counts as nothing delivered in time', () => {
  const [{ result }] = entries.filter(({ work }) => work === 'overload-lp');
  const slow = { sweep: { steps: result.sweep.steps.slice(3) } };
  const found = figures('sweep', slow);
  assert.deepEqual([found.points.length, found.deliveries, found.limited], [1, 0, false]);
});

test('a sweep that ends where the generator is at its limit says so', () => {
  const [{ result }] = entries.filter(({ work }) => work === 'overload-lp');
  const steps = structuredClone(result.sweep.steps);
  steps[3].generator.limited = true;
  assert.equal(figures('sweep', { sweep: { steps } }).limited, true);
  steps[0].generator.limited = true;
  steps[3].generator.limited = false;
  assert.equal(figures('sweep', { sweep: { steps } }).limited, false);
});

test('targets are met, missed or not measured, against the best of those that are named', () => {
  const verdicts = TARGETS.map((target) => judge(target, summary).reached);
  assert.deepEqual(verdicts, [true, true, true, undefined, undefined, undefined, true, undefined, false, undefined]);
  const against = TARGETS.map((target) => judge(target, summary).against);
  assert.deepEqual(against.slice(0, 3), ['nchan-lp', 'cometd-node-lp', 'nchan-multipart']);
  const best = { work: 'light-lp', of: 'weft-lp', metric: 'cpu', most: 1, than: ['cometd-node-lp', 'nchan-lp'] };
  assert.equal(judge(best, summary).against, 'nchan-lp');
});

test('what stands in for another is said with the verdict', () => {
  const row = targets(summary).split('\n').find((line) => line.includes('≤ 0.4'));
  assert.match(row, /^\| the same \| 9\.00 µs \| CometD \(node\), long-polling: 40\.0 µs \| ≤ 0\.4 × \| 0\.23 × \| met; cometd-java was not measured \|$/);
});

test('an earlier figure is brought to this run by what was measured in both', () => {
  // 9 µs to 15 µs now, 50 µs to 20.3 µs then.
  assert.match(byWayOf(summary), /\| 50\.0 µs \| 20\.3 µs \| 15\.0 µs \| 9\.00 µs \| 0\.24 × \|/);
});

test('what failed, is absent or went wrong is told', () => {
  assert.deepEqual(complaints(entries), [
    'NOT MEASURED: cometd-java: no Maven repository is reached',
    'FAILED: light-lp, faye-lp, round 1: faye ends',
    'light-lp, nchan-lp, round 2: 3 lost, repeated, out of order or failed',
    'light-lp, nchan-lp, round 2: did not keep up',
    'the machine was not quiet: in 1 of 12 runs the server waited for its core for more than 10 % of the time; ' +
      'rates and latencies are lower bounds then',
  ]);
});

test('the tables go between the marks of the document, and the plots beside it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weft-report-'));
  try {
    const document = join(directory, 'performance.md');
    writeFileSync(document, 'before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n');
    const script = fileURLToPath(new URL('report.js', import.meta.url));
    for (let twice = 0; twice < 2; twice += 1) {
      execFileSync(process.execPath, [script, fixture, document, join(directory, 'performance')]);
    }
    const text = readFileSync(document, 'utf8');
    assert.match(text, /^before\n<!-- results -->\n[^]*\n<!-- end of results -->\nafter\n$/);
    assert.ok(!text.includes('old') && !/NaN|undefined|Infinity|[ \t]\n|\n\n\n/.test(text), text);
    assert.match(text, /\| nchan, long poll \| 15\.0 \(14\.0–16\.0\) \| 1\.67 \|/);
    const drawn = readdirSync(join(directory, 'performance'));
    assert.deepEqual(drawn, ['cpu-long-polling.svg', 'memory.svg', 'peak.svg']);
    for (const name of drawn) assert.ok(text.includes(`(performance/${name})`), name);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('a document keeps no line that its linter would not have', () => {
  const { text } = report(entries, 'performance');
  assert.ok(text.endsWith('\n'));
});

test('plots are SVG with a title, both axes named, and every number one', () => {
  const drawings = plots(summary);
  for (const drawing of Object.values(drawings)) {
    assert.match(drawing, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox/);
    assert.match(drawing, /<title>.+<\/title>/);
    assert.ok(drawing.includes('prefers-color-scheme: dark') && !/NaN|undefined|Infinity/.test(drawing));
    assert.equal(drawing.match(/<text/g).length, drawing.match(/<\/text>/g).length);
  }
  const curve = drawings['cpu-long-polling'];
  assert.ok(curve.includes('>deliveries a second<') && curve.includes('>CPU of the server, µs a message<'));
});

test('axes have round marks around what they show', () => {
  assert.deepEqual(marks(3, 70), [2, 5, 10, 20, 50, 100]);
  assert.deepEqual(marks(10, 10), [10]);
  assert.deepEqual([1.26, 42.4, 1500, 15_000, 2_500_000].map(short), ['1.3', '42', '1.5k', '15k', '2.5M']);
});

test('names are escaped, and nothing is drawn of nothing', () => {
  const series = [{ name: '<a & b>', colour: '#000', points: [[1, 1]] }];
  assert.ok(curves({ title: 't', x: 'x', y: 'y', series }).includes('>&#60;a &#38; b&#62;<'));
  assert.equal(curves({ title: 't', x: 'x', y: 'y', series: [] }), undefined);
  assert.equal(bars({ title: 't', unit: 'u', groups: [{ name: 'g', bars: [] }] }), undefined);
});

test('everybody who takes part in a work or a target is there', () => {
  const named = [
    ...Object.values(WORKS).flatMap(({ parties }) => parties),
    ...TARGETS.flatMap(({ of, than = [], instead = [] }) => [of, ...than, ...instead]),
  ];
  for (const name of named) assert.ok(PARTIES[name], name);
  for (const { work, of } of TARGETS) assert.ok(WORKS[work].parties.includes(of), `${work}, ${of}`);
  for (const { args, quick } of Object.values(WORKS)) {
    for (const list of [args, quick]) {
      assert.ok(list.every((each, index) => each.startsWith('--') === (index % 2 === 0)), list.join(' '));
    }
  }
});

test("the kernel's objects are those in use, and a file for each socket", () => {
  const text =
    'slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n' +
    'TCP 10 14 2432 13 8 : tunables 0 0 0\nfilp 100 120 256 32 2 : x\nother 9 9 9 9 9 : x\n';
  assert.equal(slab(text, 5), 10 * 2432 + 5 * 256);
  assert.equal(slab('', 5), undefined);
});
