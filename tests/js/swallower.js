// Proxies that let everything pass but WebSocket: they refuse it, or grant it and swallow what goes
// by it.
import { connect, createServer } from 'node:net';

const refuse = (status) => ({ answer: `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n` });

// `sends` and `hears` say whether what the client sends reaches the broker, and whether it hears what
// the broker says, after the broker has said so many frames.
export const WAYS = {
  'refuses it with 400': refuse('400 Bad Request'),
  'refuses it with 403': refuse('403 Forbidden'),
  'refuses it with 502': refuse('502 Bad Gateway'),
  'never answers': { answer: '' },
  'swallows all': { sends: false, hears: false },
  'swallows what the client sends': { sends: false, hears: true },
  'swallows what the broker says': { sends: true, hears: false },
  'swallows all after one reply': { sends: true, hears: true, replies: 1 },
};

export async function swallower(t, broker, way) {
  const proxy = { sockets: 0 }; // WebSockets that it was asked for
  const open = new Set();
  const server = createServer((client) => {
    open.add(client);
    client.on('error', () => {}).on('close', () => open.delete(client));
    client.once('data', (chunk) => {
      const upgrade = /^upgrade: *websocket/im.test(chunk.toString('latin1'));
      if (upgrade) proxy.sockets += 1;
      if (upgrade && way.answer !== undefined) {
        if (way.answer) client.end(way.answer);
        return;
      }
      const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
      upstream.write(chunk);
      upstream.on('error', () => {}).on('close', () => client.destroy());
      client.on('close', () => upstream.destroy());
      if (upgrade) swallow(client, upstream, way);
      else client.pipe(upstream).pipe(client);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    for (const client of open) client.destroy();
  });
  proxy.origin = `http://127.0.0.1:${server.address().port}`;
  proxy.url = `${proxy.origin}/bayeux`;
  return proxy;
}

// The broker's 101 arrives in any case.
function swallow(client, upstream, { sends, hears, replies = Infinity }) {
  let said = 0;
  let granted = false;
  client.on('data', (chunk) => {
    if (sends && said < replies) upstream.write(chunk);
  });
  upstream.on('data', (chunk) => {
    if (!granted) {
      granted = true;
      client.write(chunk);
      return;
    }
    if (hears && said < replies) client.write(chunk);
    if (chunk.includes('"channel"')) said += 1;
  });
}
