// Starts real proxies from the very files that docs/proxies.md shows.
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../js/harness.js';

const CONF = fileURLToPath(new URL('conf/', import.meta.url));
const IS_ROOT = process.getuid() === 0;

// The hostile configurations say 10 seconds; the short form has less patience than that.
export const PATIENCE = process.env.WEFT_LONG ? 10 : 4;

const MODULES =
  'mpm_event authz_core env proxy proxy_http cache cache_disk buffer filter deflate';

// What surrounds the file under test: `frame` is a main configuration where one is needed, `args`
// start the program in the foreground with it.
const PROGRAMS = {
  nginx: {
    binary: '/usr/sbin/nginx',
    extension: 'conf',
    frame: ({ file, directory }) => `
${IS_ROOT ? 'user root;' : ''}
daemon off;
pid ${directory}/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ${directory}/body;
  proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi;
  uwsgi_temp_path ${directory}/uwsgi;
  scgi_temp_path ${directory}/scgi;
  include ${file};
}
`,
    args: ({ main, directory }) => ['-p', directory, '-c', main, '-e', 'stderr'],
  },
  haproxy: {
    binary: '/usr/sbin/haproxy',
    extension: 'cfg',
    frame: () => 'global\n  maxconn 2000\n',
    args: ({ main, file }) => ['-db', '-f', main, '-f', file],
  },
  varnish: {
    binary: '/usr/sbin/varnishd',
    extension: 'vcl',
    args: ({ file, directory, port }) => [
      ...['-F', '-j', 'none', '-n', join(directory, 'work'), '-f', file],
      ...['-a', `127.0.0.1:${port}`, '-s', 'malloc,16M', '-p', 'vcc_allow_inline_c=off'],
    ],
  },
  squid: {
    binary: '/usr/sbin/squid',
    extension: 'conf',
    frame: ({ file, directory }) => `
pid_filename ${directory}/pid
cache_log ${directory}/log
access_log none
coredump_dir ${directory}
pinger_enable off
max_filedescriptors 4096
shutdown_lifetime 0 seconds
visible_hostname localhost
include ${file}
`,
    args: ({ main, port }) => ['-N', '-n', `weft${port}`, '-f', main],
    log: 'log',
  },
  apache: {
    binary: '/usr/sbin/apache2',
    extension: 'conf',
    frame: ({ file, directory, port }) => `
${MODULES.split(' ')
  .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  .join('\n')}
${IS_ROOT ? 'User www-data\nGroup www-data' : ''}
ServerName localhost
ServerRoot ${directory}
DefaultRuntimeDir ${directory}
PidFile ${directory}/pid
Mutex file:${directory} default
ErrorLog ${directory}/log
CacheRoot ${directory}/cache
StartServers 1
ServerLimit 1
ThreadsPerChild 128
ThreadLimit 128
MaxRequestWorkers 128
Listen 127.0.0.1:${port}
include ${file}
`,
    args: ({ main }) => ['-DFOREGROUND', '-f', main],
    log: 'log',
  },
};

const isInstalled = (binary) => {
  try {
    accessSync(binary, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

export const KINDS = Object.keys(PROGRAMS);
// What can be tested on this machine; tests/proxies/run.sh says what cannot.
export const INSTALLED = KINDS.filter((kind) => isInstalled(PROGRAMS[kind].binary));
export const HAS_BROWSER = isInstalled(process.env.CHROMIUM ?? '/usr/bin/chromium');

export const fileOf = (kind, config) =>
  `${kind}${config === 'plain' ? '' : `-${config}`}.${PROGRAMS[kind].extension}`;

const same = (text) => text;

// `upstream` is what has an `address`: the broker, or something in between. `change` may alter the text
// of the file, and `frame` that of what surrounds it; `prepare` may put more into the directory; `more`
// goes to the command line.
export async function startProxy(t, kind, config, upstream, options = {}) {
  const { change = same, frame = same, prepare, more = [] } = options;
  const program = PROGRAMS[kind];
  const directory = await mkdtemp(join(tmpdir(), `weft-${kind}-`));
  // Whoever they become must be able to write there.
  await mkdir(join(directory, 'cache'));
  for (const each of [directory, join(directory, 'cache')]) await chmod(each, 0o777);
  const port = await freePort();
  const name = fileOf(kind, config);
  const text = change(await readFile(join(CONF, name), 'utf8'))
    .replaceAll(/\b8000\b/g, port)
    .replaceAll(/\b8080\b/g, upstream.address.split(':')[1])
    .replaceAll(/\b10(?=s\b| seconds\b)|(?<=Timeout )10$/gm, config === 'hostile' ? PATIENCE : '$&');
  const place = { directory, port, file: join(directory, name), main: join(directory, 'main') };
  await writeFile(place.file, text);
  await writeFile(place.main, frame(program.frame?.(place) ?? ''));
  await prepare?.(directory);
  const child = spawn(program.binary, [...program.args(place), ...more], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (more) => {
      output = (output + more).slice(-20_000);
    });
  }
  const exit = new Promise((resolve) => child.once('exit', resolve).once('error', resolve));
  const ended = exit.then((reason) => ({ reason }));
  t.after(async () => {
    child.kill('SIGTERM');
    await Promise.race([exit, new Promise((resolve) => setTimeout(resolve, 3000).unref())]);
    child.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  });
  const log = async () =>
    output + (program.log ? await readFile(join(directory, program.log), 'utf8').catch(() => '') : '');
  await eventually(
    `${name} listens`,
    async () => {
      const gone = await Promise.race([ended, false]);
      if (gone) throw new Error(`${name} ended (${gone.reason}): ${await log()}`);
      return accepts(port);
    },
    30_000,
  );
  const address = `127.0.0.1:${port}`;
  return { kind, config, address, log, origin: `http://${address}`, url: `http://${address}/bayeux` };
}

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).on('error', () => resolve(false));
  });

// Below those that the system gives out by itself, so that nobody takes it in the meantime.
const given = new Set();
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    if (!given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
  }
}

const isFree = (port) =>
  new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
