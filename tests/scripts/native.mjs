// The nodes of a script as processes of `wattle`.

import { Wattle } from "../interop/processes.mjs";

export class NativeNode {
  #t;
  #name;
  #url;
  #lives = [];

  /** A node of this name, with the signaling server at `url`. */
  constructor(t, name, url) {
    this.#t = t;
    this.#name = name;
    this.#url = url;
  }

  get events() {
    return this.#lives.flatMap((life) => life.events);
  }

  get ids() {
    const ours = this.events.filter(({ event }) => event === "network_created" || event === "joined");
    return ours.map(({ node }) => node);
  }

  #begin(...args) {
    this.#lives.push(new Wattle(this.#t, this.#name, ...args, "--signal", this.#url));
    return this.#lives.at(-1);
  }

  async host(topology, maxNodes, relay) {
    const args = ["--topology", topology, "--max-nodes", String(maxNodes)];
    const life = this.#begin("host", ...args, ...(relay ? [] : ["--no-relay"]));
    return (await life.event("network_created")).code;
  }

  join(code) {
    this.#begin("join", code);
  }

  /** Who is in no network is no process any more: then it is refused here. */
  #command(name, rest) {
    const life = this.#lives.at(-1);
    if (life.events.some(({ event }) => event === "ended")) {
      life.events.push({ event: "error", kind: "not_joined", command: name });
    } else {
      life.command([name, ...rest].join(" "));
    }
  }

  broadcast(text) {
    this.#command("broadcast", [text]);
  }

  state(text) {
    this.#command("state", [text]);
  }

  send(id, text) {
    this.#command("send", [id, text]);
  }

  kick(id) {
    this.#command("kick", [id]);
  }

  leave() {
    this.#command("leave", []);
  }

  crash() {
    this.#lives.at(-1).kill();
  }
}
