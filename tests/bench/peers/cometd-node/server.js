// A CometD server as its documentation has it, without the acknowledgement extension.
//   node server.js PORT
import { createServer } from 'node:http';
import cometdServer from 'cometd-nodejs-server';

const cometd = cometdServer.createCometDServer({ timeout: 30_000, maxInterval: 30_000, maxSessionsPerBrowser: -1 });
const server = createServer((request, response) => {
  if (request.url.startsWith('/cometd')) cometd.handle(request, response);
  else response.writeHead(204).end();
});
// Node closes idle connections after 5 seconds, and times requests, otherwise.
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
