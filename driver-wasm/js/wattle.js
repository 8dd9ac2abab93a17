// wattle for JavaScript: small peer-to-peer networks over WebRTC. `wattle.d.ts` describes everything.

import { inlined } from "./inlined.js";
import init, { Interpolator as Motion, Node, Rehearsal } from "./wattle_wasm.js";

/** The module is loaded once, by the first who needs it. */
let loading;
let loaded = false;
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
  loading ??= started(source).then(
    () => {
      loaded = true;
    },
    (error) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
};

const started = async (source) => {
  // Workers may have the module, too.
  if (!globalThis.importScripts) needPage();
  if (!globalThis.WebAssembly) throw platform("no WebAssembly");
  try {
    const from = source ?? (await inlined.module?.());
    await init(from === undefined ? undefined : { module_or_path: from });
  } catch (error) {
    const remedy = /content security policy|\bCSP\b/i.test(error)
      ? "Allow 'wasm-unsafe-eval' for script-src in the page's Content-Security-Policy."
      : "Serve wattle_wasm_bg.wasm beside the script, give its address to load()," +
        ' or import "wattle/inline", which holds it.';
    throw new WattleError("load", `the WebAssembly module cannot be loaded: ${error}`, remedy, error);
  }
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

const usage = (message, remedy, cause) => new WattleError("usage", message, remedy, cause);

/** In the words of the module, which says the same of a worker. */
const platform = (missing) =>
  new WattleError(
    "platform",
    `WebRTC is not there: ${missing}`,
    "Use a browser with WebRTC, and call this in a page, not in a worker or on a server.",
  );

const needPage = () => {
  if (!globalThis.document) throw platform("this is not a page");
};

/** An error of the module, as ours. */
const asError = (error) => {
  if (error instanceof TypeError) return usage(error.message, "", error);
  return typeof error?.kind === "string" && !(error instanceof Error)
    ? new WattleError(error.kind, error.message, error.remedy)
    : error;
};

const attempt = (call) => {
  try {
    return call();
  } catch (error) {
    throw asError(error);
  }
};

/** Why a network ended before it began. The page knows more than the module of what its browser does not allow. */
const refusal = ({ reason, message, remedy }) => {
  if (reason === "network_full") {
    remedy = "Wait until somebody leaves, or host with a larger maxNodes.";
  } else if (reason === "signaling_unreachable") {
    remedy =
      "Check the network connection, and the signaling server's URL with its path (wss://…/peerjs);" +
      " the browser's console may say more.";
  } else if (reason === "signaling_protocol") {
    // The browser has not even tried.
    message = "the signaling server cannot be reached: the browser does not let this page";
    remedy =
      "A page that came by https: needs a signaling server at wss:, and cannot use LAN codes;" +
      " a Content-Security-Policy needs the server in connect-src.";
  }
  return new WattleError(reason, message, remedy);
};

// Mistakes of those who have no types. -------------------------------------------------------------

/** How to call it that is none of what is wanted. */
const kindOf = (value) => {
  if (value === null || typeof value !== "object") return String(value);
  const name = value.constructor?.name;
  return !name || name === "Object" ? "an object" : Array.isArray(value) ? "a list" : `a ${name}`;
};

const optionsOf = (given = {}) => {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw usage(`options: an object is wanted, not ${kindOf(given)}`);
  }
  return given;
};

const textOf = (what, given) => {
  if (typeof given !== "string") throw usage(`${what}: a text is wanted, not ${kindOf(given)}`);
  return given;
};

const nodeOf = (given) => {
  if (typeof given === "string") return given;
  throw usage(
    `a node is named by a text, not by ${kindOf(given)}`,
    "Names are in network.nodes, and in an event's node or from.",
  );
};

const signalOf = (signal) => {
  if (signal === undefined || signal === null || typeof signal.throwIfAborted === "function") {
    return signal ?? undefined;
  }
  throw usage(`signal: an AbortSignal is wanted, not ${kindOf(signal)}`);
};

/** What `RTCPeerConnection` would refuse later, at each link. What is no list of objects the module refuses. */
const checkServers = (servers = [], policy) => {
  if (!Array.isArray(servers)) return;
  const urls = (server) => [server?.urls ?? []].flat().map(String);
  const relays = servers.filter((server) => urls(server).some((url) => /^turns?:/i.test(url)));
  const bare = relays.find(({ username, credential }) => username === undefined || credential === undefined);
  if (bare) {
    const [url] = urls(bare);
    throw usage(`${url}: "username" or "credential" is missing`, "A TURN server wants both.");
  }
  if (policy === "relay" && relays.length === 0) {
    throw usage('iceTransportPolicy "relay" wants a TURN server', "Add one to iceServers.");
  }
};

// Payloads. ----------------------------------------------------------------------------------------

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });

const isBytes = (value) => ArrayBuffer.isView(value) || value instanceof ArrayBuffer;

/** Of what `JSON.stringify` would silently leave nothing. */
const LOST = ["Blob", "File", "Map", "Set", "Promise", "SharedArrayBuffer"];

/** Called by `JSON.stringify` with each value. */
const checked = (name, value) => {
  if (value !== null && typeof value === "object") {
    if (isBytes(value)) {
      throw usage(
        `"${name}" is ${kindOf(value)}: bytes within JSON would be lost`,
        "Send bytes alone, or as a list of numbers: Array.from(bytes).",
      );
    }
    if (LOST.includes(value[Symbol.toStringTag])) {
      throw usage(
        `${name === "" ? "a payload" : `"${name}"`} cannot be ${kindOf(value)}: JSON has nothing for it`,
        "Send what is in it: for example await blob.arrayBuffer(), or [...map].",
      );
    }
  }
  return value;
};

/** The most that `maxMessage` can allow. The module's memory never shrinks: what is larger does not get there. */
const MOST_BYTES = 16 * 1024 * 1024;

const encode = (payload) => {
  const bytes = bytesOf(payload);
  if (bytes.length <= MOST_BYTES) return bytes;
  throw new WattleError("too_large", `the message is too large: at most ${MOST_BYTES} bytes`);
};

/** Bytes stay bytes; everything else is sent as its JSON. */
const bytesOf = (payload) => {
  if (payload instanceof Uint8Array) return payload;
  let json;
  try {
    if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
    if (ArrayBuffer.isView(payload)) {
      return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
    }
    json = JSON.stringify(payload, checked);
  } catch (error) {
    if (error instanceof WattleError) throw error;
    throw usage(`this payload cannot be sent: ${error?.message ?? error}`, "", error);
  }
  if (json === undefined) {
    throw usage(`a payload is bytes or a JSON value, not ${typeof payload}`, "For nothing, send null.");
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
    await fetched(module);
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

/** Makes smooth motion out of another node's states. */
export class Interpolator {
  #motion;
  #values;

  /** To be made when the module is there: after `Network.host`, `Network.join` or `load`. */
  constructor(components, options) {
    if (!loaded) throw usage("the module is not loaded yet", "Await load() before, or Network.host or join.");
    if (!Array.isArray(components)) {
      throw usage(`components: a list is wanted, not ${kindOf(components)}`);
    }
    const { delay, extrapolation } = optionsOf(options);
    for (const [name, time] of Object.entries({ delay, extrapolation })) {
      if (time !== undefined && !(time >= 0)) throw usage(`${name}: milliseconds are wanted`);
    }
    this.#motion = attempt(() => new Motion(components, delay, extrapolation));
    this.#values = new Float32Array(components.length);
  }

  /** Takes a snapshot that its sender made at `sent`, milliseconds of its own clock. */
  push(sent, values, { arrived = performance.now(), teleport = false } = {}) {
    if (!(values?.length >= this.#values.length)) {
      throw usage(`a snapshot has ${this.#values.length} numbers here, this has ${values?.length ?? "none"}`);
    }
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
