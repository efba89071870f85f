// Requests that two servers in a row may read in two ways, and what comes of them. The proxy refuses
// `/publish` to everybody: so whatever is published got past it.
import { connect } from 'node:net';

const HOST = 'Host: 127.0.0.1';
const SMUGGLED = `POST /publish/smuggled HTTP/1.1\r\n${HOST}\r\nContent-Length: 1\r\n\r\n1`;

const head = (lines, target = 'POST /bayeux HTTP/1.1') => `${[target, HOST, ...lines].join('\r\n')}\r\n\r\n`;
const length = (body) => `Content-Length: ${Buffer.byteLength(body)}`;

// `Content-Length` reads all of it as one body; chunks end before what is smuggled.
const clTe = (te, target) => {
  const body = `0\r\n\r\n${SMUGGLED}`;
  return head([length(body), te], target) + body;
};

// Chunks make all of it one body; `Content-Length` ends before what is smuggled.
const teCl = (te, target) => {
  const size = SMUGGLED.length.toString(16);
  return `${head([`Content-Length: ${size.length + 2}`, te], target)}${size}\r\n${SMUGGLED}\r\n0\r\n\r\n`;
};

const CHUNKED = [
  'Transfer-Encoding: chunked',
  'transfer-encoding: CHUNKED',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding\t: chunked',
  'Transfer-Encoding:\tchunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: \x0cchunked',
  'Transfer-Encoding: chunked\x00',
  'Transfer-Encoding: xchunked',
  'Transfer-Encoding: chunkedx',
  'Transfer-Encoding: "chunked"',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding: identity, chunked',
  'Transfer-Encoding: chunked, chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked;x=y',
  'Transfer-Encoding: ,chunked,',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: x',
  'Transfer-Encoding: x\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
  'Transfer-Encoding:\r\n chunked',
  'X-Folded: a\r\n Transfer-Encoding: chunked',
  'X-Folded: a\r\n\tTransfer-Encoding: chunked',
  'X-Bare: a\nTransfer-Encoding: chunked',
  'X-Bare: a\rTransfer-Encoding: chunked',
  'Transfer_Encoding: chunked',
  'Transfer Encoding: chunked',
  '\x00Transfer-Encoding: chunked',
  ': a\r\nTransfer-Encoding: chunked',
];

// What stands for a length, where the body is what is smuggled.
const LENGTHS = [
  (n) => `Content-Length: 0\r\nContent-Length: ${n}`,
  (n) => `Content-Length: ${n}\r\nContent-Length: 0`,
  (n) => `Content-Length: ${n}\r\nContent-Length: ${n}`,
  (n) => `Content-Length: 0, ${n}`,
  (n) => `Content-Length: ${n}, ${n}`,
  (n) => `Content-Length: +${n}`,
  (n) => `Content-Length: 0${n}`,
  (n) => `Content-Length: 0x${n.toString(16)}`,
  (n) => `Content-Length: ${n} 0`,
  (n) => `Content-Length: -${n}`,
  (n) => `Content-Length: ${n}e0`,
  (n) => `Content-Length:\r\n ${n}`,
  (n) => `Content-Length : ${n}`,
  (n) => `Content_Length: ${n}\r\nContent-Length: ${n}`,
  () => 'Content-Length: 18446744073709551616',
];

// Requests that are answered before their body is read, or that need none: it must not be the next
// request.
const EARLY = [
  'POST /nothing HTTP/1.1',
  'POST /demo/ HTTP/1.1',
  'PUT /bayeux HTTP/1.1',
  'GET /history/a HTTP/1.1',
  'HEAD /history/a HTTP/1.1',
  'GET /openapi.json HTTP/1.1',
  'OPTIONS /bayeux HTTP/1.1',
  'GET /bayeux?message=x HTTP/1.1',
  'POST /history/a HTTP/1.1',
  'GET /demo/ HTTP/1.1',
  'DELETE /events/a HTTP/1.1',
];

const CHUNKS = {
  'an extension with a bare LF': `5;\n\r\n\r\n0\r\n\r\n${SMUGGLED}`,
  'a size with a sign': `+0\r\n\r\n${SMUGGLED}`,
  'a size in hex of C': `0x0\r\n\r\n${SMUGGLED}`,
  'a size that is too large': `10000000000000000\r\n\r\n${SMUGGLED}`,
  'a size with a space': `0 \r\n\r\n${SMUGGLED}`,
  'sizes that end with a bare LF': `0\n\n${SMUGGLED}`,
  'a chunk without its end': `1\r\nxx0\r\n\r\n${SMUGGLED}`,
  'a trailer that is a header': `0\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
};

const UPGRADE = ['Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='];

const named = (list, name, make) => list.map((item) => [`${name} ${JSON.stringify(`${item}`)}`, make(item)]);

// By name, the bytes that one client sends.
export const ATTACKS = [
  ...named(CHUNKED, 'CL.TE', (te) => clTe(te)),
  ...named(CHUNKED, 'TE.CL', (te) => teCl(te)),
  ...named(CHUNKED, 'CL.TE by GET', (te) => clTe(te, 'GET /history/a HTTP/1.1')),
  ...named(CHUNKED.slice(0, 1), 'CL.TE in HTTP/1.0', (te) => clTe(te, 'POST /bayeux HTTP/1.0')),
  ...LENGTHS.map((line) => [`CL.CL ${JSON.stringify(line(7))}`, head([line(SMUGGLED.length)]) + SMUGGLED]),
  ...named(EARLY, 'a body of', (target) => head([length(SMUGGLED)], target) + SMUGGLED),
  ...named(EARLY, 'a body after 100-continue of', (target) => head(['Expect: 100-continue', length(SMUGGLED)], target) + SMUGGLED),
  ...Object.entries(CHUNKS).map(([name, body]) => [`chunks: ${name}`, head(['Transfer-Encoding: chunked']) + body]),
  [
    'an upgrade that is refused',
    head([...UPGRADE, 'Upgrade: websocket', 'Sec-WebSocket-Version: 8'], 'GET /bayeux HTTP/1.1') + SMUGGLED,
  ],
  [
    'an upgrade with a body',
    head([...UPGRADE, 'Upgrade: websocket', 'Sec-WebSocket-Version: 8', length(SMUGGLED)], 'GET /bayeux HTTP/1.1') + SMUGGLED,
  ],
  [
    'an upgrade by POST',
    head([...UPGRADE, 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', length(SMUGGLED)]) + SMUGGLED,
  ],
  ['a request in a target', `GET /history/a HTTP/1.1 ${SMUGGLED}`],
  ['CRLF in a path', head([], `GET /history/a%0d%0a%0d%0a${encodeURIComponent(SMUGGLED)} HTTP/1.1`)],
  ['CRLF in a query', head([], `GET /history/a?since=%0d%0a%0d%0a${encodeURIComponent(SMUGGLED)} HTTP/1.1`)],
  ['a path below a refused one by dots', head(['Content-Length: 1'], 'POST /x/../publish/smuggled HTTP/1.1') + '1'],
  ['two Hosts', head(['Host: evil.test', length(SMUGGLED)]) + SMUGGLED],
];

// What weft alone must not take for two requests. A space behind a size, and a trailer, are no end of
// anything: what follows is a request to whoever reads by the book.
const TWO = /^chunks: a (size with a space|trailer)/;
export const ALONE = ATTACKS.filter(
  ([name]) => /^(CL\.TE|a body|chunks|an upgrade with|an upgrade by)/.test(name) && !TWO.test(name),
);

// Sends bytes, and reads until the other side has nothing more to say, or ends the connection.
export const exchange = ({ address }, bytes, quiet = 150) =>
  new Promise((resolve) => {
    let text = '';
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
    const over = (ended) => () => {
      socket.destroy();
      resolve({ text, ended });
    };
    // The first byte may take longer.
    socket.setTimeout(4 * quiet, over(false));
    socket.on('data', (more) => {
      text += more.toString('latin1');
      socket.setTimeout(quiet);
    });
    socket.on('error', over(true)).on('end', over(true));
    socket.write(Buffer.from(bytes, 'latin1'));
  });

export const send = async (...args) => (await exchange(...args)).text;
