// An extension for npm `cometd`: it remembers the last position of each channel, and asks for what was
// missed whenever the application subscribes again, as it does after each handshake:
//   cometd.registerExtension('replay', new Replay());
const means = (name, channel) =>
  name === channel || (name.endsWith('*') && channel.startsWith(name.replace(/\*+$/, '')));

export class Replay {
  constructor(positions = new Map()) {
    this.positions = positions;
    this.patterns = new Set();
  }
  outgoing(message) {
    if (message.channel === '/meta/handshake') message.ext = { ...message.ext, replay: true };
    if (message.channel !== '/meta/subscribe') return message;
    const names = [message.subscription].flat();
    for (const name of names) if (name.endsWith('*')) this.patterns.add(name);
    const known = [...this.positions].filter(([at]) => names.some((name) => means(name, at)));
    const replay = { ...Object.fromEntries(names.map((name) => [name, -1])), ...Object.fromEntries(known) };
    message.ext = { ...message.ext, replay };
    return message;
  }
  incoming(message) {
    const position = message.ext?.replay?.id;
    if (!position) return message;
    this.positions.set(message.channel, position);
    // A pattern's own number is for channels that nothing came from so far, so it stays the first one.
    for (const pattern of this.patterns) {
      if (means(pattern, message.channel) && !this.positions.has(pattern)) this.positions.set(pattern, position);
    }
    return message;
  }
}
