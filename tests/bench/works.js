// What is measured, and who does it. A party is a peer by one of its ways to deliver; a work is one
// command of the generator, run against each of its parties in turns.

// The colours tell peers apart, and lighter ones their other ways.
const BLUE = '#2f81f7';
const ORANGE = '#db6d28';
const SAND = '#d4a72c';
const VIOLET = '#8957e5';
const GREEN = '#2da44e';

const bayeux = (path) => (base, protocol) => ['--url', `${base}${path}`, '--protocol', protocol];
const nchan = (path) => (base, protocol) => [
  ...['--url', base, '--protocol', protocol],
  ...['--publish-url', `${base}/pub/{channel}`, '--subscribe-url', `${base}/${path}/{channel}`],
];

const party = (name, peer, protocol, colour, to) => ({
  name,
  peer,
  colour,
  args: (port) => to(`http://127.0.0.1:${port}`, protocol),
});

export const PARTIES = {
  'weft-lp': party('weft, long-polling', 'weft', 'long-polling', BLUE, bayeux('/bayeux')),
  'weft-ws': party('weft, WebSocket', 'weft', 'websocket', BLUE, bayeux('/bayeux')),
  'nchan-lp': party('nchan, long poll', 'nchan', 'nchan-long-poll', ORANGE, nchan('sub')),
  'nchan-multipart': party('nchan, multipart', 'nchan', 'nchan-multipart', SAND, nchan('raw')),
  'nchan-ws': party('nchan, WebSocket', 'nchan', 'nchan-websocket', ORANGE, nchan('ws')),
  'cometd-java-lp': party('CometD, long-polling', 'cometd-java', 'long-polling', VIOLET, bayeux('/cometd')),
  'cometd-java-ws': party('CometD, WebSocket', 'cometd-java', 'websocket', VIOLET, bayeux('/cometd')),
  'cometd-node-lp': party('CometD (node), long-polling', 'cometd-node', 'long-polling', VIOLET, bayeux('/cometd')),
  'faye-lp': party('faye, long-polling', 'faye', 'long-polling', GREEN, bayeux('/faye')),
  'faye-ws': party('faye, WebSocket', 'faye', 'websocket', GREEN, bayeux('/faye')),
};

export const PEERS = [...new Set(Object.values(PARTIES).map(({ peer }) => peer))];

/** What CometD is, best first: the one for node stands in where Java's cannot be had. */
const COMETD = ['cometd-java-lp', 'cometd-node-lp'];
const LONG_POLLING = ['weft-lp', 'nchan-lp', 'nchan-multipart', ...COMETD, 'faye-lp'];
const WEBSOCKET = ['weft-ws', 'nchan-ws', 'cometd-java-ws', 'faye-ws'];

const light = ['--subscribers', '1000', '--rate', '20', '--payload', '100'];
// So many publishers that nobody waits for one of them to have its answer.
const many = ['--publishers', '64', '--payload', '100'];
const rooms = ['--clients', '1000', '--rooms', '100', '--rooms-per-client', '10', ...many];

/**
 * The works: `command` and `args` of the generator, the same for all; what differs in the quick form; and
 * the rate from which a sweep goes up. `fresh` ones are not warmed up.
 */
export const WORKS = {
  'light-lp': {
    title: 'Long-polling, light load: 1,000 subscribers, 20 messages a second',
    parties: LONG_POLLING,
    command: 'fanout',
    args: [...light, '--seconds', '6'],
    quick: ['--seconds', '2', '--drain', '2'],
  },
  'light-ws': {
    title: 'WebSocket, light load: 1,000 subscribers, 20 messages a second',
    parties: WEBSOCKET,
    command: 'fanout',
    args: [...light, '--seconds', '6'],
    quick: ['--seconds', '2', '--drain', '2'],
  },
  'overload-lp': {
    title: 'Long-polling, overload: 1,000 subscribers, the most with p99 within a second',
    parties: LONG_POLLING,
    command: 'sweep',
    from: 10,
    quickFrom: 40,
    args: ['--work', 'fanout', '--subscribers', '1000', ...many, '--limit-ms', '1000', '--seconds', '2'],
    quick: ['--seconds', '1', '--factor', '2', '--drain', '2'],
  },
  'overload-ws': {
    title: 'WebSocket, overload: 100 subscribers, the most with p99 within a second',
    parties: WEBSOCKET,
    command: 'sweep',
    from: 200,
    quickFrom: 800,
    args: ['--work', 'fanout', '--subscribers', '100', ...many, '--limit-ms', '1000', '--seconds', '2'],
    quick: ['--seconds', '1', '--factor', '2', '--drain', '2'],
  },
  'rooms-lp': {
    title: 'Rooms, long-polling: 1,000 clients in 10 of 100 rooms, the most with p99 below 100 ms',
    parties: ['weft-lp', 'nchan-lp', ...COMETD, 'faye-lp'],
    command: 'sweep',
    from: 20,
    quickFrom: 80,
    args: ['--work', 'rooms', ...rooms, '--limit-ms', '100', '--seconds', '2'],
    quick: ['--seconds', '1', '--factor', '2', '--drain', '2'],
  },
  'idle-lp': {
    title: 'Idle long polls: sessions that wait',
    parties: ['weft-lp', 'nchan-lp', ...COMETD, 'faye-lp'],
    command: 'idle',
    fresh: true,
    args: ['--clients', '10000', '--hold', '3'],
    quick: ['--clients', '2000', '--hold', '2'],
  },
  'idle-ws': {
    title: 'Idle WebSockets: sessions that wait',
    parties: WEBSOCKET,
    command: 'idle',
    fresh: true,
    args: ['--clients', '10000', '--hold', '3'],
    quick: ['--clients', '2000', '--hold', '2'],
  },
  publish: {
    title: 'Publishing over HTTP: nobody subscribes, 4 publishers, 8 requests of each under way',
    parties: ['weft-lp', 'nchan-lp'],
    command: 'publish',
    args: ['--publish', 'http', '--publishers', '4', '--in-flight', '8', '--subscribers', '0', '--seconds', '5'],
    quick: ['--seconds', '2'],
  },
};

/** What programs need before they are as fast as they get. */
export const WARM_UP = ['fanout', '--subscribers', '200', '--rate', '50', '--payload', '100', '--seconds'];
export const WARM_UP_SECONDS = { long: '3', quick: '1' };

/**
 * What was set out to be reached: `of` weft's party, `metric` of that work (figures.js), against the best
 * of `than`, or the first of `instead` that was measured; without either the bound is absolute.
 */
export const TARGETS = [
  {
    about: 'Long-polling, light load: CPU per message',
    work: 'light-lp',
    of: 'weft-lp',
    metric: 'cpu',
    most: 0.7,
    than: ['nchan-lp'],
  },
  { about: 'the same', work: 'light-lp', of: 'weft-lp', metric: 'cpu', most: 0.4, instead: COMETD },
  {
    about: 'Long-polling, overload: deliveries a second',
    work: 'overload-lp',
    of: 'weft-lp',
    metric: 'deliveries',
    least: 3,
    than: ['nchan-multipart'],
  },
  {
    about: 'WebSocket, light load: CPU per message',
    work: 'light-ws',
    of: 'weft-ws',
    metric: 'cpu',
    most: 0.8,
    than: ['nchan-ws'],
  },
  {
    about: 'WebSocket, overload, 100 subscribers: deliveries a second',
    work: 'overload-ws',
    of: 'weft-ws',
    metric: 'deliveries',
    least: 2,
    than: ['nchan-ws', 'cometd-java-ws'],
  },
  {
    about: 'Rooms, long-polling, p99 below 100 ms: deliveries a second',
    work: 'rooms-lp',
    of: 'weft-lp',
    metric: 'deliveries',
    least: 3,
    instead: COMETD,
  },
  { about: 'Memory per idle long poll', work: 'idle-lp', of: 'weft-lp', metric: 'memory', most: 3000 },
  { about: 'Memory per idle WebSocket', work: 'idle-ws', of: 'weft-ws', metric: 'memory', most: 6000 },
  {
    about: 'CPU per handshake, subscribe and first connect',
    work: 'idle-lp',
    of: 'weft-lp',
    metric: 'arrival',
    most: 0.1,
    instead: COMETD,
  },
  {
    about: 'CPU per message published over HTTP, kept on disk within 100 ms',
    work: 'publish',
    of: 'weft-lp',
    metric: 'cpu',
    most: 1.5,
    than: ['nchan-lp'],
  },
];

/** CometD for Java as it was measured once, by another generator, and nchan beside it. */
export const EARLIER = [
  {
    about: 'Long-polling, light load: CPU per message',
    ...{ work: 'light-lp', metric: 'cpu', of: 'weft-lp', yardstick: 'nchan-lp', then: 20.3, cometd: 50.0 },
  },
  {
    about: 'WebSocket, light load: CPU per message',
    ...{ work: 'light-ws', metric: 'cpu', of: 'weft-ws', yardstick: 'nchan-ws', then: 6.7, cometd: 15.2 },
  },
  {
    about: 'Long-polling, overload: deliveries a second',
    ...{ work: 'overload-lp', metric: 'deliveries', of: 'weft-lp', yardstick: 'nchan-lp', then: 73_009, cometd: 77_111 },
  },
  {
    about: 'WebSocket, 100 subscribers: deliveries a second',
    ...{ work: 'overload-ws', metric: 'deliveries', of: 'weft-ws', yardstick: 'nchan-ws', then: 319_790, cometd: 224_363 },
  },
  {
    about: 'Memory per idle long poll',
    ...{ work: 'idle-lp', metric: 'memory', of: 'weft-lp', yardstick: 'nchan-lp', then: 10_172, cometd: 30_369 },
  },
  {
    about: 'CPU per handshake, subscribe and first connect (nchan: connect)',
    ...{ work: 'idle-lp', metric: 'arrival', of: 'weft-lp', yardstick: 'nchan-lp', then: 17, cometd: 586 },
  },
];
