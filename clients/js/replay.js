// An extension for npm `cometd`: it remembers the last position of each channel, and asks for what was
// missed whenever the application subscribes again, as it does after each handshake:
//   cometd.registerExtension('replay', new Replay());
export class Replay {
  constructor(positions = new Map()) {
    this.positions = positions;
  }

  outgoing(message) {
    const ask = (replay) => Object.assign((message.ext ??= {}), { replay });
    if (message.channel === '/meta/handshake') ask(true);
    if (message.channel === '/meta/subscribe') {
      const names = [message.subscription].flat();
      const below = [...this.positions].filter(([channel]) =>
        names.some((name) => name.endsWith('*') && channel.startsWith(name.replace(/\*+$/, ''))));
      const highest = Math.max(-1, ...below.map(([, position]) => position));
      const start = (name) => this.positions.get(name) ?? (name.endsWith('*') ? highest : -1);
      ask({ ...Object.fromEntries(below), ...Object.fromEntries(names.map((n) => [n, start(n)])) });
    }
    return message;
  }

  incoming(message) {
    const position = message.ext?.replay?.id;
    if (position) this.positions.set(message.channel, position);
    return message;
  }
}
