// A proxy of bytes between a client and the broker, which breaks when told to.
import { connect, createServer } from 'node:net';

export async function breakingProxy(t, broker) {
  const open = new Set();
  const proxy = {
    cuts: 0,
    // Once the broker says this, the connection over which it does is broken, and the client gets
    // nothing of that. With `staysDown`, nothing else comes through after that.
    marker: undefined,
    staysDown: false,
    // Breaks all connections and lets none through until `up`.
    down() {
      proxy.isDown = true;
      for (const close of open) close();
    },
    up() {
      proxy.isDown = false;
    },
  };
  const server = createServer((client) => {
    if (proxy.isDown) {
      client.destroy();
      return;
    }
    const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
    const close = () => {
      open.delete(close);
      client.destroy();
      upstream.destroy();
    };
    open.add(close);
    for (const socket of [client, upstream]) socket.on('error', close).on('close', close);
    client.pipe(upstream);
    upstream.on('data', (chunk) => {
      if (proxy.marker && chunk.includes(proxy.marker)) {
        proxy.marker = undefined;
        proxy.cuts += 1;
        if (proxy.staysDown) proxy.down();
        else close();
      } else {
        client.write(chunk);
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  proxy.url = `http://127.0.0.1:${server.address().port}/bayeux`;
  return proxy;
}

// A proxy that does not tell the broker when a client goes: what the broker still says on that
// connection goes nowhere, and counts as lost.
export async function deafProxy(t, broker) {
  const proxy = { lost: 0 };
  const upstreams = new Set();
  const server = createServer((client) => {
    const upstream = connect(broker.address.split(':')[1], '127.0.0.1');
    upstreams.add(upstream);
    client.on('error', () => {}).on('data', (chunk) => upstream.write(chunk));
    upstream.on('error', () => {}).on('close', () => client.destroy());
    upstream.on('data', (chunk) => {
      if (client.writable) client.write(chunk);
      else proxy.lost += 1;
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.close();
    for (const upstream of upstreams) upstream.destroy();
  });
  proxy.origin = `http://127.0.0.1:${server.address().port}`;
  return proxy;
}
