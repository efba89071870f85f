// What the system tells of its sockets and of a process.
import { readFileSync } from 'node:fs';

const PAGE = 4096;
// Ticks of /proc/PID/stat in a second: what Linux tells programs, whatever it counts in.
const TICKS = 100;
// What the kernel makes for each socket that a process has open and waits for.
const CACHES = /^(TCP|TCPv6|sock_inode_cache|filp|dentry|eventpoll_epi|eventpoll_pwq|skbuff\w*)$/;

const read = (path) => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

/** Sockets, pages of their buffers in bytes, and bytes of the caches above; those only where root asks. */
export function sockets() {
  const [, used, pages] = /TCP: inuse (\d+).* mem (\d+)/.exec(read('/proc/net/sockstat')) ?? [0, 0, 0];
  return { sockets: Number(used), buffers: Number(pages) * PAGE, slab: slab(read('/proc/slabinfo')) };
}

export function slab(text) {
  const lines = text.split('\n').map((line) => line.split(/\s+/));
  const ours = lines.filter(([name]) => CACHES.test(name));
  if (ours.length === 0) return undefined;
  return ours.reduce((sum, [, active, , size]) => sum + Number(active) * Number(size), 0);
}

/** CPU seconds that a process has had. */
export function cpu(pid) {
  const after = read(`/proc/${pid}/stat`).split(') ').at(-1).split(' ');
  return (Number(after[11]) + Number(after[12])) / TICKS;
}

/** Resident bytes of a process. */
export const resident = (pid) => Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
