// wattle for JavaScript: small peer-to-peer networks over WebRTC. `wattle.d.ts` describes everything.

import init, { Interpolator as Motion, Node, Rehearsal } from "./wattle_wasm.js";

/** The module is loaded once, by the first who needs it. */
let loading;
let ready;

/** Loads the WebAssembly module, and has the browser compile it. `source` is where it is. */
export const load = (source) => {
  ready ??= fetched(source).then(rehearse, (error) => {
    ready = undefined;
    throw error;
  });
  return ready;
};

/** So long the page is kept busy at once, in milliseconds. */
const STEP = 4;

const rehearse = async () => {
  const rehearsal = new Rehearsal();
  for (let more = true; more; ) {
    await later();
    const until = performance.now() + STEP;
    while (more && performance.now() < until) more = rehearsal.step() !== undefined;
  }
  rehearsal.free();
};

/** What `host` and `join` need. */
const fetched = (source) => {
  loading ??= init(source === undefined ? undefined : { module_or_path: source }).then(
    () => undefined,
    (error) => {
      loading = undefined;
      throw new WattleError("load", `the WebAssembly module cannot be loaded: ${error}`, "", error);
    },
  );
  return loading;
};

/** What went wrong: `kind` is for programs, `message` and `remedy` are for people. */
export class WattleError extends Error {
  constructor(kind, message, remedy = "", cause = undefined) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "WattleError";
    this.kind = kind;
    this.remedy = remedy;
  }
}

/** An error of the module, as ours. */
const asError = (error) =>
  typeof error?.kind === "string" && !(error instanceof Error)
    ? new WattleError(error.kind, error.message, error.remedy)
    : error;

const attempt = (call) => {
  try {
    return call();
  } catch (error) {
    throw asError(error);
  }
};

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });

/** Bytes stay bytes; everything else is sent as its JSON. */
const encode = (payload) => {
  if (payload instanceof Uint8Array) return payload;
  if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
  if (ArrayBuffer.isView(payload)) {
    return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  }
  const json = JSON.stringify(payload);
  if (json === undefined) {
    throw new WattleError("usage", "a payload is a Uint8Array or a JSON value");
  }
  return utf8.encode(json);
};

/** Something that happened: the members of the command's JSON lines. */
export class NetworkEvent extends Event {
  constructor(type, detail) {
    super(type);
    for (const [name, value] of Object.entries(detail)) {
      // `event` is the type.
      if (name !== "event") Object.defineProperty(this, name, { value, enumerable: true });
    }
  }
}

/** A message or a state of another node. */
export class PayloadEvent extends NetworkEvent {
  #text;
  #payload;
  #read = false;

  /** The payload as text; `undefined` if it is not UTF-8. */
  get text() {
    if (this.#text === undefined) {
      try {
        this.#text = strict.decode(this.bytes);
      } catch {
        this.#text = null;
      }
    }
    return this.#text ?? undefined;
  }

  /** The payload as the JSON value that it is, and if it is none, as a `Uint8Array`. */
  get payload() {
    if (!this.#read) {
      this.#read = true;
      try {
        this.#payload = JSON.parse(strict.decode(this.bytes));
      } catch {
        this.#payload = this.bytes;
      }
    }
    return this.#payload;
  }
}

const EVENTS = [
  "networkcreated", "phase", "joined", "nodejoined", "nodesuspect", "nodelost", "nodeback",
  "noderoute", "nodestalled", "nodeleft", "hostlost", "message", "state", "writable",
  "signalinglost", "signalingrestored", "connectreport", "diagnostic", "ended",
];

/** After everything that waits to be done now. Not a timer: those are slow in a hidden tab. */
const later = () =>
  new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(null);
  });

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
  static host(options = {}) {
    const { code, ...rest } = options;
    return Network.#connect(rest, (options, take) => Node.host(code, options, take));
  }

  /** Joins the network with this code; ready when the host has let us in. */
  static join(code, options = {}) {
    return Network.#connect(options, (options, take) => Node.join(String(code), options, take));
  }

  static async #connect(options, begin) {
    const network = new Network(secret);
    const { signal, module, ...rest } = options;
    for (const name of Object.keys(rest).filter((name) => name.startsWith("on"))) {
      if (!EVENTS.includes(name.slice(2))) throw new WattleError("usage", `no event for ${name}`);
      network[name] = rest[name];
      delete rest[name];
    }
    signal?.throwIfAborted();
    await fetched(module);
    signal?.throwIfAborted();
    network.#ended = new Promise((done) => {
      network.addEventListener("ended", ({ reason, message, remedy, clean }) =>
        done({ reason, message, remedy, clean }),
      );
    });
    const settled = new Promise((done, failed) => {
      network.#connected = done;
      network.#ended.then(({ reason, message, remedy }) =>
        failed(new WattleError(reason, message, remedy)),
      );
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
    attempt(() => this.#node.sendTo(node, encode(payload)));
  }

  /** Sends our state to all other nodes: the newest counts, losses are not repaired. */
  broadcastState(payload) {
    return attempt(() => this.#node.broadcastState(encode(payload)));
  }

  /** Like `broadcast`, but waits for room where that is `full`. */
  broadcastWhenRoom(payload, options = {}) {
    const bytes = encode(payload).slice();
    return this.#whenRoom(() => this.#node.broadcast(bytes), options.signal);
  }

  /** Like `sendTo`, but waits for room where that is `full`. */
  sendToWhenRoom(node, payload, options = {}) {
    const bytes = encode(payload).slice();
    return this.#whenRoom(() => this.#node.sendTo(node, bytes), options.signal);
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
    attempt(() => this.#node.kick(node));
  }

  /** Other STUN and TURN servers from now on. */
  setIceServers(servers) {
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

/** Makes smooth motion out of another node's states. */
export class Interpolator {
  #motion;
  #values;

  /** To be made when the module is there: after `Network.host`, `Network.join` or `load`. */
  constructor(components, { delay, extrapolation } = {}) {
    this.#motion = attempt(() => new Motion(components, delay, extrapolation));
    this.#values = new Float32Array(components.length);
  }

  /** Takes a snapshot that its sender made at `sent`, milliseconds of its own clock. */
  push(sent, values, { arrived = performance.now(), teleport = false } = {}) {
    return this.#motion.push(arrived, sent, values, teleport);
  }

  /** What to draw now; `undefined` before the first snapshot. The array is used again. */
  sample(now = performance.now()) {
    return this.#motion.sample(now, this.#values) ? this.#values : undefined;
  }

  /** Forgets everything: a new round. */
  reset() {
    this.#motion.reset();
  }
}
