// What the system tells of its sockets and of a process.
import { readFileSync } from 'node:fs';

const PAGE = 4096;
// Ticks of /proc/PID/stat in a second: what Linux tells programs, whatever it counts in.
const TICKS = 100;
// What the kernel makes for each socket that a process has open and waits for. Of files and of their
// names each socket has one, and everybody else many: those are not counted, but added.
const COUNTED = /^(TCP|TCPv6|sock_inode_cache|eventpoll_epi|eventpoll_pwq|skbuff\w*)$/;
const ADDED = /^(filp|dentry)$/;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Sockets, bytes of their buffers, and bytes of what is made for them; that only if root asks. */
export function sockets() {
  const [, used, pages] = /TCP: inuse (\d+).* mem (\d+)/.exec(read('/proc/net/sockstat')) ?? [0, 0, 0];
  const count = Number(used);
  return { sockets: count, buffers: Number(pages) * PAGE, slab: slab(read('/proc/slabinfo'), count) };
}

/** Bytes of objects that so many sockets take. */
export function slab(text, count) {
  const rows = text.split('\n').map((line) => line.split(/\s+/));
  const sum = (caches, bytes) => rows.filter(([name]) => caches.test(name)).reduce((all, row) => all + bytes(row), 0);
  const counted = sum(COUNTED, ([, active, , size]) => Number(active) * Number(size));
  return counted === 0 ? undefined : counted + sum(ADDED, ([, , , size]) => count * Number(size));
}

/** CPU seconds that a process has had. */
export function cpu(pid) {
  const after = read(`/proc/${pid}/stat`).split(') ').at(-1).split(' ');
  return (Number(after[11]) + Number(after[12])) / TICKS;
}

/** Resident bytes of a process. */
export const resident = (pid) => Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
