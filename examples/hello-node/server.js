// Says hello over HTTP: Node's own modules and nothing else.
// PORT is the port to listen on, GREETING is what to say.
'use strict';

const http = require('node:http');
const os = require('node:os');

const port = Number(process.env.PORT || 3000);
const greeting = process.env.GREETING || 'Hello from Node';

const server = http.createServer((request, response) => {
  if (request.url === '/healthz') {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end('ok\n');
  } else if (request.url === '/') {
    const body = { greeting, host: os.hostname(), node: process.version, uptime: Math.round(process.uptime()) };
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(body, null, 2) + '\n');
  } else {
    response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end('there is nothing here\n');
  }
});

server.listen(port, () => console.log(`listening on port ${port}`));
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeAllConnections();
});
