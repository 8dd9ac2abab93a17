// Starts the real PeerServer on a loopback port, for `conformance.mjs`.
//
//     node peerserver.mjs PORT [ALIVE_TIMEOUT_MS]
//
// As a library, because the `peerjs` command reads nothing more from a client that once sent
// something other than a JSON object: PeerServer reports it as an `error` event for which the
// command has no listener, and the exception ends the reading of that socket. With a listener,
// as here, such a frame is ignored. (Without either, the process would end.)

import { PeerServer } from "peer";

const [port, alive] = process.argv.slice(2).map(Number);
const options = { port, host: "127.0.0.1", ...(alive ? { alive_timeout: alive } : {}) };
PeerServer(options, () => console.log(`PeerServer listens on ws://127.0.0.1:${port}`)).on(
  "error",
  () => {},
);
