// An extension for npm `cometd`: it remembers the last position of each channel, and asks for what was
// missed whenever the application subscribes again, as it does after each handshake:
//   cometd.registerExtension('replay', new Replay());
export class Replay {
  constructor(positions = new Map()) {
    this.positions = positions;
  }
  outgoing(message) {
    if (message.channel === '/meta/handshake') message.ext = { ...message.ext, replay: true };
    if (message.channel !== '/meta/subscribe') return message;
    const replay = {};
    for (const name of [message.subscription].flat()) {
      const prefix = name.replace(/\*+$/, '');
      const means = (channel) => channel === name || (prefix !== name && channel.startsWith(prefix));
      const known = [...this.positions].filter(([channel]) => means(channel));
      // A pattern's own number is for channels that nothing came from so far.
      Object.assign(replay, { [name]: Math.max(-1, ...known.map(([, at]) => at)) }, Object.fromEntries(known));
    }
    message.ext = { ...message.ext, replay };
    return message;
  }
  incoming(message) {
    if (message.ext?.replay?.id) this.positions.set(message.channel, message.ext.replay.id);
    return message;
  }
}
