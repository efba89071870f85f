// A faye server as its documentation has it; its memory engine, no extensions, no deflate.
//   node server.js PORT
import { createServer } from 'node:http';
import faye from 'faye';

const server = createServer((_, response) => response.writeHead(204).end());
// Node closes idle connections after 5 seconds, and times requests, otherwise.
server.keepAliveTimeout = 3_600_000;
server.requestTimeout = 0;
new faye.NodeAdapter({ mount: '/faye', timeout: 30 }).attach(server);
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
