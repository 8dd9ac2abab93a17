// `wattle` processes at the sites of an internet.

import assert from "node:assert/strict";

import { Process, program, until } from "../interop/processes.mjs";
import { trusted } from "./coturn.mjs";

/** One `wattle` process in a place, with JSON in and out. */
export class Node extends Process {
  constructor(t, name, place, ...args) {
    const [command, ...inside] = place.inside;
    super(t, name, command, [...inside, program("WATTLE"), ...args, "--json"], {
      // The authority of these tests in place of the system's.
      SSL_CERT_FILE: trusted().certificate,
      SSL_CERT_DIR: "/run/none",
    });
  }
}

/** A signaling server in the middle, for all sites; gives its URL by address family. */
export const signaling = async (t, internet) => {
  const { ipv4, ipv6 } = internet.rendezvous;
  const server = new Node(t, "signaling server", internet.net, "serve", "--listen", "[::]:9000");
  await server.event("listening");
  return { ipv4: `ws://${ipv4}:9000/peerjs`, ipv6: `ws://[${ipv6}]:9000/peerjs`, server };
};

/** The arguments for these servers: values of `--ice`. */
export const ice = (...servers) =>
  servers.length === 0 ? ["--no-ice"] : servers.flatMap((server) => ["--ice", server]);

/** A host at `site`, and its code. */
export const host = async (t, site, url, ...args) => {
  const name = `host (${site.kind})`;
  const node = new Node(t, name, site.node, "host", "--signal", url, ...args);
  const { code, node: id } = await node.event("network_created");
  return { node, code, id };
};

export const joiner = (t, site, code, url, ...args) =>
  new Node(t, `joiner (${site.kind})`, site.node, "join", code, "--signal", url, ...args);

/** Waits until the joiner is in, and each has had a message of the other. */
export const connected = async (hosting, joining, { within = 60_000 } = {}) => {
  const joined = await joining.event("joined", { within });
  await hosting.node.event("node_joined", { with: { node: joined.node } });
  hosting.node.command("broadcast there");
  await joining.event("message", { with: { from: hosting.id, text: "there" } });
  joining.command("broadcast and back");
  await hosting.node.event("message", { with: { from: joined.node, text: "and back" } });
  return joined;
};

/** Waits until the joiner has given up, in the ice phase; gives its error. */
export const failsInIce = async (joining, { within = 60_000 } = {}) => {
  const error = await joining.event("error", { within });
  const phases = joining.all("phase").map((each) => each.phase);
  assert.equal(phases.at(-1), "ice", `${JSON.stringify(error)} after ${phases}`);
  assert.equal(await joining.exit(), 1);
  return error;
};

/** Runs `body`; if it fails, the report of the test has what these processes said, messages aside. */
export const telling = async (t, processes, body) => {
  const begin = Date.now();
  try {
    return await body();
  } catch (error) {
    for (const [name, { events }] of Object.entries(processes)) {
      for (const { at, ...event } of events.filter((each) => each.event !== "message")) {
        t.diagnostic(`${name}, after ${at - begin} ms: ${JSON.stringify(event)}`);
      }
    }
    throw error;
  }
};

/** What goes on after a test file's own processes: `t` of its `before`. */
export const scope = () => {
  const ends = [];
  return {
    after: (end) => ends.push(end),
    end: async () => {
      for (const end of ends.reverse()) await end();
    },
  };
};

export { until };
