// Drives jsforce's streaming client with its own replay extension, as an application for Salesforce
// would, under the interface that all drivers here share.
export class JsforceDriver {
  received = [];
  handshakes = 0;
  subscribed = 0;
  #client;

  constructor({ Connection, StreamingExtension }, instanceUrl, { channel, replay }) {
    const connection = new Connection({ instanceUrl, accessToken: 'none' });
    this.#client = connection.streaming.createClient([
      new StreamingExtension.Replay(channel, replay),
      { incoming: (message, pass) => pass(this.#watch(message)) },
    ]);
  }

  #watch(message) {
    if (message.successful && message.channel === '/meta/handshake') this.handshakes += 1;
    if (message.successful && message.channel === '/meta/subscribe') this.subscribed += 1;
    return message;
  }

  start() {}

  async subscribe(channel) {
    await this.#client.subscribe(channel, (data) => this.received.push([channel, data]));
  }

  status() {
    const { received, handshakes, subscribed } = this;
    return { received, handshakes, subscribed };
  }
}
