// The signaling server of a script: `wattle serve`, on a port that it keeps.

import { Process, freePort, isListening, program, until } from "../interop/processes.mjs";

export class Server {
  #t;
  #port;
  #process;

  static async begin(t) {
    const server = new Server();
    server.#t = t;
    server.#port = await freePort();
    await server.start();
    return server;
  }

  get url() {
    return `ws://127.0.0.1:${this.#port}/peerjs`;
  }

  async start() {
    const args = ["serve", "--listen", `127.0.0.1:${this.#port}`, "--json"];
    this.#process = new Process(this.#t, "wattle serve", program("WATTLE"), args);
    await until("wattle serve listens", 30_000, () => isListening(this.#port));
  }

  stop() {
    this.#process.kill();
  }
}
