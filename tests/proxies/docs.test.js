// docs/proxies.md shows the files that these tests run, to the letter.
//   WEFT_WRITE_DOCS=1 node --test docs.test.js    puts them there
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const DOCUMENT = fileURLToPath(new URL('../../docs/proxies.md', import.meta.url));
const CONF = fileURLToPath(new URL('conf/', import.meta.url));
const SHOWN = /<!-- tests\/proxies\/conf\/(\S+) -->\n(?:```\w*\n[^]*?\n```\n)?/g;

test('docs/proxies.md shows the recommended configurations as they are tested', async () => {
  const document = await readFile(DOCUMENT, 'utf8');
  const files = (await readdir(CONF)).filter((name) => !name.includes('hostile'));
  const texts = new Map();
  for (const name of files) texts.set(name, await readFile(CONF + name, 'utf8'));
  const shown = [...document.matchAll(SHOWN)].map(([, name]) => name);
  assert.deepEqual(shown.toSorted(), files.toSorted());
  const block = (name) => `<!-- tests/proxies/conf/${name} -->\n\`\`\`${kind(name)}\n${texts.get(name)}\`\`\`\n`;
  const right = document.replace(SHOWN, (_, name) => block(name));
  if (process.env.WEFT_WRITE_DOCS) await writeFile(DOCUMENT, right);
  else assert.equal(document, right);
});

const kind = (name) => name.split(/[-.]/)[0];
