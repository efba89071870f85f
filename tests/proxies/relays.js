// Small proxies of our own, for what the real ones do not show or cannot do.
import { createHash } from 'node:crypto';
import http from 'node:http';
import { connect, createServer } from 'node:net';

const same = (all) => all;

const listen = (server) =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = `127.0.0.1:${server.address().port}`;
      resolve({ address, origin: `http://${address}`, url: `http://${address}/bayeux` });
    });
  });

// Passes bytes on, and writes down the status of each response: what a client behind it was told.
export async function witness(t, target) {
  const statuses = [];
  const sockets = new Set();
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect(target.address.split(':')[1], '127.0.0.1');
    upstream.setNoDelay(true);
    let isTunnel = false;
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      // No client here sends a request before it has the last response.
      const status = !isTunnel && /^HTTP\/1\.[01] (\d{3})/.exec(chunk.toString('latin1', 0, 16))?.[1];
      if (status) statuses.push(Number(status));
      isTunnel ||= status === '101';
    });
    upstream.pipe(client);
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { ...(await listen(server)), statuses };
}

// A middlebox that takes HTTP apart: `headers` may change those of a response; with `pieces` each
// byte of a body travels as a chunk of its own. It knows no upgrades, unless it `swallows`: then it
// agrees to a WebSocket, and what comes over that goes nowhere.
export async function middlebox(t, target, { headers = same, pieces = false, swallows = false } = {}) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
  const [host, port] = target.address.split(':');
  const server = http.createServer((request, response) => {
    const { method, url: path } = request;
    const passed = http.request({ agent, host, port, method, path, headers: request.headers });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    passed.on('response', (answer) => {
      const { 'content-length': _, 'transfer-encoding': __, ...rest } = headers(answer.headers);
      response.writeHead(answer.statusCode, rest);
      response.flushHeaders();
      answer.on('error', () => response.destroy());
      if (!pieces) {
        answer.pipe(response);
        return;
      }
      answer.on('data', (chunk) => {
        for (const byte of chunk) response.write(Uint8Array.of(byte));
      });
      answer.on('end', () => response.end());
    });
    request.pipe(passed);
  });
  const sockets = new Set();
  const swallowed = (request, socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket)).resume();
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  };
  if (swallows) server.on('upgrade', swallowed);
  server.keepAliveTimeout = 75_000;
  t.after(() => {
    server.close();
    server.closeAllConnections();
    for (const socket of sockets) socket.destroy();
    agent.destroy();
  });
  return { kind: 'middlebox', config: 'hostile', ...(await listen(server)) };
}
