// HTTP and Bayeux by hand, where a stock client does not say enough or keeps too much to itself.
import http from 'node:http';

// As many connections as there are requests.
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

// One request, its answer, and how long that took.
export function ask({ address }, path, { method = 'GET', headers = {}, body } = {}) {
  const [host, port] = address.split(':');
  const began = performance.now();
  return new Promise((resolve, reject) => {
    const request = http.request({ agent, host, port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (more) => {
        text += more;
      });
      response.on('error', reject).on('end', () => {
        const ms = Math.round(performance.now() - began);
        resolve({ status: response.statusCode, headers: response.headers, text, ms });
      });
    });
    request.on('error', reject).end(body);
  });
}

export const post = (proxy, path, body, headers = {}) =>
  ask(proxy, path, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });

export const HANDSHAKE = [
  {
    channel: '/meta/handshake',
    version: '1.0',
    supportedConnectionTypes: ['long-polling', 'callback-polling'],
  },
];

export const connect = (clientId, id, connectionType = 'long-polling') => [
  { channel: '/meta/connect', clientId, id, connectionType },
];

// A session whose next connect will be held. `send` posts messages and gives an answer with `text`.
export async function session(send) {
  const [{ clientId }] = JSON.parse((await send(HANDSHAKE)).text);
  await send(connect(clientId, '1'));
  return { clientId, poll: (id = '2') => send(connect(clientId, id)) };
}
