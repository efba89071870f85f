// Whether WebSocket works all the way to weft: for clients that take a socket that opened at its word,
// where a proxy may swallow what goes by it. npm `faye` asks before its first message,
//   if (!(await websocketWorks(url))) client.disable('websocket');
// and npm `cometd` before its handshake:
//   cometd.websocketEnabled = await websocketWorks(url);
// `within` is in milliseconds. A runtime without a WebSocket of its own is given one.
export function websocketWorks(url, { within = 3000, WebSocket = globalThis.WebSocket } = {}) {
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace('http', 'ws');
  return new Promise((resolve) => {
    let socket;
    let clientId;
    const done = (works) => {
      clearTimeout(timer);
      socket?.close();
      resolve(works);
    };
    const timer = setTimeout(done, within, false);
    try {
      socket = new WebSocket(address.href);
    } catch {
      done(false); // the page's policy has none
      return;
    }
    const send = (message) => socket.send(JSON.stringify([message]));
    socket.onopen = () => send(HANDSHAKE);
    socket.onclose = () => done(false);
    socket.onerror = () => done(false);
    // One reply may be let through, so two are asked for.
    socket.onmessage = ({ data }) => {
      const [reply] = JSON.parse(data);
      if (!reply.successful) {
        done(false);
      } else if (reply.channel === '/meta/handshake') {
        ({ clientId } = reply);
        send({ channel: '/meta/connect', clientId, connectionType: 'websocket', advice: { timeout: 0 } });
      } else {
        send({ channel: '/meta/disconnect', clientId });
        done(true);
      }
    };
  });
}

const HANDSHAKE = {
  channel: '/meta/handshake',
  version: '1.0',
  supportedConnectionTypes: ['websocket'],
};
