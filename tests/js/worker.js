// The process of one node peer: takes calls from the test and makes its driver do them.
import { createRequire } from 'node:module';

// What of ours goes with clients of others. `probing` is for runtimes without a WebSocket.
async function ours(WebSocket) {
  const { Replay } = await import('../../clients/js/replay.js');
  const { websocketWorks } = await import('../../clients/js/websocket.js');
  return { ReplayExtension: Replay, websocketWorks, probing: { WebSocket } };
}

const LIBRARIES = {
  async cometd() {
    const { adapt } = await import('cometd-nodejs-client');
    adapt();
    const cometd = await import('cometd');
    const { CometdDriver } = await import('./drivers/cometd.js');
    return [CometdDriver, { ...cometd, ...(await ours(window.WebSocket)) }];
  },
  async faye() {
    const { FayeDriver } = await import('./drivers/faye.js');
    const require = createRequire(import.meta.url);
    return [FayeDriver, { ...require('faye'), ...(await ours(require('faye-websocket').Client)) }];
  },
  async jsforce() {
    const { JsforceDriver } = await import('./drivers/jsforce.js');
    const require = createRequire(import.meta.url);
    const { Connection } = require('jsforce');
    return [JsforceDriver, { Connection, ...require('jsforce/api/streaming') }];
  },
  async silent() {
    const { SilentDriver } = await import('./drivers/silent.js');
    return [SilentDriver];
  },
  async weft() {
    const { WeftDriver } = await import('./drivers/weft.js');
    return [WeftDriver, await import('../../clients/js/weft.js')];
  },
};

const [name, url, options] = process.argv.slice(2);
const loading = LIBRARIES[name]().then(
  ([Driver, library]) => new Driver(library, url, JSON.parse(options)),
);

process.on('message', async ({ call, method, args }) => {
  try {
    const driver = await loading;
    process.send({ call, result: await driver[method](...args) });
  } catch (error) {
    process.send({ call, error: error?.message ?? String(error) });
  }
});
process.on('disconnect', () => process.exit());
