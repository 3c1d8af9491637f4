// A WebSocket echo server on `ws`.
//
//   node websocket.mjs PORT [KEY CERTIFICATE]
//
// It supports the subprotocols `echo.v2` and `echo.v1`, and selects the first of them that the client offers. Paths:
//   /                 echo
//   /headers          sends the headers of the handshake as JSON, then echoes
//   /ping             sends a ping with the payload `live`, and the text `pong: PAYLOAD` for each pong; echoes too
//   /close/CODE       closes with this code and the reason `as asked`
//   /drop             closes the TCP connection without a closing handshake
//   /refuse/STATUS    refuses the handshake with this status
//   /flood/COUNT/SIZE sends COUNT binary messages of SIZE bytes, then closes with code 1000
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { WebSocketServer } from 'ws';

const [port, key, certificate] = process.argv.slice(2);
const server = key
  ? https.createServer({ key: readFileSync(key), cert: readFileSync(certificate) })
  : http.createServer();
const sockets = new WebSocketServer({
  noServer: true,
  handleProtocols: (offered) => [...offered].find((name) => ['echo.v2', 'echo.v1'].includes(name)) ?? false,
  maxPayload: 64 << 20,
  // Messages are compressed if the client offers it.
  perMessageDeflate: { threshold: 0, zlibDeflateOptions: { level: 6 } },
});

server.on('upgrade', (request, socket, head) => {
  const status = /^\/refuse\/(\d+)$/.exec(request.url)?.[1];
  if (status) {
    socket.end(`HTTP/1.1 ${status} ${http.STATUS_CODES[status]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  sockets.handleUpgrade(request, socket, head, (connection) => serve(connection, request));
});

function serve(connection, request) {
  connection.on('error', () => {});
  connection.on('message', (data, binary) => connection.send(data, { binary }));
  const [, what, first, second] = request.url.split('/');
  switch (what) {
    case 'headers':
      connection.send(JSON.stringify(request.headers));
      break;
    case 'ping':
      connection.on('pong', (payload) => connection.send(`pong: ${payload}`));
      connection.ping('live');
      break;
    case 'close':
      connection.close(Number(first), 'as asked');
      break;
    case 'drop':
      connection.terminate();
      break;
    case 'flood':
      for (let index = 0; index < Number(first); index += 1) {
        const message = Buffer.alloc(Number(second));
        message.writeUInt32BE(index);
        connection.send(message);
      }
      connection.close(1000);
      break;
  }
}

server.listen(Number(port), '127.0.0.1');
