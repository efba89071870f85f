// What was found, one JSON object a line: run.sh makes a file and a table of it.
import { appendFileSync } from 'node:fs';

const FILE = process.env.WEFT_PROXIES_RESULTS;

// `about` is what was looked at, `found` what came of it.
export function record(t, { proxy, config }, about, found) {
  t.diagnostic(`${proxy}, ${config}: ${about}: ${JSON.stringify(found)}`);
  if (FILE) appendFileSync(FILE, `${JSON.stringify({ proxy, config, about, found })}\n`);
}
