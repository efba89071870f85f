// Makes of the results' lines a file of JSON and the table that docs/proxies.md shows.
//   node report.js RESULTS.jsonl RESULTS.json [--write]
// With --write the table goes into the document; without, both must agree. Measured times are in the
// file alone, since they differ from run to run.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { KINDS } from './rig.js';

const DOCUMENT = fileURLToPath(new URL('../../docs/proxies.md', import.meta.url));
const FRAME = /(<!-- results -->\n)[^]*?(<!-- end of results -->)/;

const COLUMNS = {
  'long-polling': (found) => polling(found('long-polling')),
  'callback-polling': (found) => polling(found('callback-polling')),
  cache: (found) => found('cache'),
  'hold over its patience': (found) => {
    const status = found('hold longer than its patience');
    return status && `${status}, survived`;
  },
  WebSocket: (found) => found('websocket') ?? fallback(found('websocket, faye')),
  SSE: (found) => found('sse'),
  NDJSON: (found) => found('ndjson'),
};

// Whether repeats come is chance; the document says where they may.
const polling = (found) => found?.replace(', with repeats', '');
const fallback = (found) => found && `refused (${found.refusal}); long-polling`;

function table(results) {
  const rows = [
    ...['plain', 'hostile'].flatMap((config) => KINDS.map((proxy) => ({ proxy, config }))),
    { proxy: 're-chunking', config: 'hostile' },
  ];
  const names = Object.keys(COLUMNS);
  const lines = rows.map(({ proxy, config }) => {
    const found = (about) =>
      results.find((each) => each.proxy === proxy && each.config === config && each.about === about)?.found;
    return [`${proxy}, ${config}`, ...names.map((name) => COLUMNS[name](found) ?? '')];
  });
  return [['', ...names], ['', ...names].map(() => '---'), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');
}

const [from, to, write] = process.argv.slice(2);
const results = (await readFile(from, 'utf8')).trim().split('\n').map((line) => JSON.parse(line));
await writeFile(to, `${JSON.stringify(results, null, 2)}\n`);
const made = table(results);
console.log(made);
const document = await readFile(DOCUMENT, 'utf8');
const next = document.replace(FRAME, (_, begin, end) => `${begin}${made}${end}`);
if (write) {
  await writeFile(DOCUMENT, next);
} else if (next !== document) {
  const installed = new Set(results.map(({ proxy }) => proxy));
  const isWhole = KINDS.every((kind) => installed.has(kind));
  console.error(isWhole ? 'docs/proxies.md shows another table' : 'not all proxies: no comparison with docs/proxies.md');
  if (isWhole) process.exitCode = 1;
}
