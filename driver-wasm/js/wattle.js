// wattle for JavaScript: small peer-to-peer networks over WebRTC. `wattle.d.ts` describes everything.

import { checkServers, kindOf, nodeOf, optionsOf, signalOf, textOf } from "./checks.js";
import { attempt, needPage, platform, refusal, usage } from "./errors.js";
import { EVENTS, NetworkEvent, PayloadEvent } from "./events.js";
import { later } from "./later.js";
import { loadModule } from "./loading.js";
import { MOST_BYTES, encode } from "./payloads.js";
import { Node } from "./wattle_wasm.js";

export { WattleError } from "./errors.js";
export { NetworkEvent, PayloadEvent } from "./events.js";
export { Interpolator } from "./interpolator.js";
export { load } from "./loading.js";

/** A node in a network. */
export class Network extends EventTarget {
  #node;
  #listeners = new Map();
  #connected;
  #ended;

  /** Only `host` and `join` make networks. */
  constructor(token) {
    super();
    if (token !== secret) throw new TypeError("use Network.host() or Network.join()");
  }

  /** Hosts a network; ready when it can be joined. */
  static async host(options) {
    const { code, ...rest } = optionsOf(options);
    if (code !== undefined) textOf("code", code);
    return Network.#connect(rest, (options, take) => Node.host(code, options, take));
  }

  /** Joins the network with this code; ready when the host has let us in. */
  static async join(code, options) {
    // A code is read out, written down in groups, and pasted.
    const written = textOf("code", code).replace(/\s/g, "");
    return Network.#connect(optionsOf(options), (options, take) => Node.join(written, options, take));
  }

  static async #connect(options, begin) {
    const network = new Network(secret);
    const { signal: given, module, ...rest } = options;
    const signal = signalOf(given);
    for (const name of Object.keys(rest).filter((name) => name.startsWith("on"))) {
      const type = name.slice(2).toLowerCase();
      if (!EVENTS.includes(type)) throw usage(`there is no event for ${name}`);
      if (name !== `on${type}`) throw usage(`there is no option ${name}`, `It is written on${type}.`);
      const listener = rest[name] ?? null;
      if (listener !== null && typeof listener !== "function") {
        throw usage(`${name}: a function is wanted, not ${kindOf(listener)}`);
      }
      network[name] = listener;
      delete rest[name];
    }
    checkServers(rest.iceServers, rest.iceTransportPolicy);
    if (rest.maxMessage < 1 || rest.maxMessage > MOST_BYTES) {
      throw usage(`maxMessage: 1 to ${MOST_BYTES} bytes, not ${rest.maxMessage}`);
    }
    signal?.throwIfAborted();
    // Before anything is fetched for nothing.
    needPage();
    if (!globalThis.RTCPeerConnection) throw platform("no RTCPeerConnection");
    await loadModule(module);
    signal?.throwIfAborted();
    network.#ended = new Promise((done) => {
      network.addEventListener("ended", ({ reason, message, remedy, clean }) =>
        done({ reason, message, remedy, clean }),
      );
    });
    const settled = new Promise((done, failed) => {
      network.#connected = done;
      network.#ended.then((end) => failed(refusal(end)));
    });
    const abort = () => network.close();
    try {
      network.#node = attempt(() =>
        begin(rest, (detail) => network.#take(detail)),
      );
      signal?.addEventListener("abort", abort);
      await settled;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
    return network;
  }

  /** An event of the node. Gives a promise if the next one is to wait. */
  #take(detail) {
    const type = detail.event.replaceAll("_", "");
    const Kind = type === "message" || type === "state" ? PayloadEvent : NetworkEvent;
    this.dispatchEvent(new Kind(type, detail));
    if (type === "joined" || type === "networkcreated") {
      this.#connected();
      // Whoever awaited us adds its listeners now, and misses nothing.
      return later();
    }
    return undefined;
  }

  /** Sends a reliable message to all other nodes. */
  broadcast(payload) {
    attempt(() => this.#node.broadcast(encode(payload)));
  }

  /** Sends a reliable message to one node. */
  sendTo(node, payload) {
    attempt(() => this.#node.sendTo(nodeOf(node), encode(payload)));
  }

  /** Sends our state to all other nodes: the newest counts, losses are not repaired. */
  broadcastState(payload) {
    return attempt(() => this.#node.broadcastState(encode(payload)));
  }

  /** Like `broadcast`, but waits for room where that is `full`. */
  async broadcastWhenRoom(payload, options) {
    const signal = signalOf(optionsOf(options).signal);
    const bytes = attempt(() => encode(payload).slice());
    return this.#whenRoom(() => this.#node.broadcast(bytes), signal);
  }

  /** Like `sendTo`, but waits for room where that is `full`. */
  async sendToWhenRoom(node, payload, options) {
    const [name, signal] = [nodeOf(node), signalOf(optionsOf(options).signal)];
    const bytes = attempt(() => encode(payload).slice());
    return this.#whenRoom(() => this.#node.sendTo(name, bytes), signal);
  }

  async #whenRoom(send, signal) {
    for (;;) {
      signal?.throwIfAborted();
      try {
        return attempt(send);
      } catch (error) {
        if (error.kind !== "full") throw error;
      }
      await new Promise((done) => {
        const woken = ["writable", "ended"];
        const wake = () => {
          for (const type of woken) this.removeEventListener(type, wake);
          signal?.removeEventListener("abort", wake);
          done();
        };
        for (const type of woken) this.addEventListener(type, wake);
        signal?.addEventListener("abort", wake);
      });
    }
  }

  /** Host: removes a node. */
  kick(node) {
    attempt(() => this.#node.kick(nodeOf(node)));
  }

  /** Other STUN and TURN servers from now on. */
  setIceServers(servers) {
    checkServers(servers);
    attempt(() => this.#node.setIceServers(servers));
  }

  /** Leaves, and waits until the others know; tells why the network ended. */
  leave() {
    this.close();
    return this.#ended;
  }

  /** Leaves without waiting. */
  close() {
    this.#node.leave();
  }

  /** Settles when the network has ended, and tells why. */
  get ended() {
    return this.#ended;
  }

  /** The code to give to the others. */
  get code() {
    return this.#node.code;
  }

  /** Our own name. */
  get id() {
    return this.#node.id;
  }

  /** All nodes in join order, the host first, ourselves included. */
  get nodes() {
    return this.#node.nodes;
  }

  /** `connecting`, `joined`, `leaving` or `idle`. */
  get status() {
    return this.#node.status;
  }

  /** How long each phase of connecting took, in milliseconds. */
  get timing() {
    return this.#node.timing;
  }

  /** Numbers: round-trip times, counters, states. */
  stats() {
    return this.#node.stats();
  }

  /** The property `on` and an event's name. */
  static {
    for (const type of EVENTS) {
      Object.defineProperty(Network.prototype, `on${type}`, {
        configurable: true,
        enumerable: true,
        get() {
          return this.#listeners.get(type) ?? null;
        },
        set(listener) {
          const old = this.#listeners.get(type);
          if (old) this.removeEventListener(type, old);
          this.#listeners.delete(type);
          if (typeof listener !== "function") return;
          this.#listeners.set(type, listener);
          this.addEventListener(type, listener);
        },
      });
    }
  }
}

const secret = Symbol("wattle");
