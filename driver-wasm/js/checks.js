// Mistakes of those who have no types, told before anything is done.

import { usage } from "./errors.js";

/** How to call it that is none of what is wanted. */
export const kindOf = (value) => {
  if (value === null || typeof value !== "object") return String(value);
  const name = value.constructor?.name;
  return !name || name === "Object" ? "an object" : Array.isArray(value) ? "a list" : `a ${name}`;
};

export const optionsOf = (given = {}) => {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw usage(`options: an object is wanted, not ${kindOf(given)}`);
  }
  return given;
};

export const textOf = (what, given) => {
  if (typeof given !== "string") throw usage(`${what}: a text is wanted, not ${kindOf(given)}`);
  return given;
};

export const nodeOf = (given) => {
  if (typeof given === "string") return given;
  throw usage(
    `a node is named by a text, not by ${kindOf(given)}`,
    "Names are in network.nodes, and in an event's node or from.",
  );
};

export const signalOf = (signal) => {
  if (signal === undefined || signal === null || typeof signal.throwIfAborted === "function") {
    return signal ?? undefined;
  }
  throw usage(`signal: an AbortSignal is wanted, not ${kindOf(signal)}`);
};

/** What `RTCPeerConnection` would refuse later, at each link. What is no list of objects the module refuses. */
export const checkServers = (servers = [], policy) => {
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
