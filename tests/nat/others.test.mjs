// The matrix with another stack: a Clayground node with libdatachannel at one end, `wattle` at the other.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { Process } from "../interop/processes.mjs";
import { CREDENTIAL, USERNAME } from "./coturn.mjs";
import { coturn, hosts, joiners, matrix, url } from "./matrix.mjs";
import { failsInIce, host, ice, joiner } from "./nodes.mjs";
import * as theory from "./theory.mjs";

const NODE = fileURLToPath(new URL("../clients/node.mjs", import.meta.url));

let names = 0;

/** A name at the signaling server that is a code, too. */
const name = () => {
  names += 1;
  return `CLAY${"23456789ABCDEFGH"[names >> 4]}${"23456789ABCDEFGH"[names & 15]}`;
};

/** A Clayground node at `site`. */
const clayground = (t, site, role, id, code, servers) => {
  const [command, ...inside] = site.node.inside;
  const args = [NODE, role, url.ipv4, id, code, ...servers.map((server) => JSON.stringify(server))];
  return new Process(t, `clayground (${site.kind})`, command, [...inside, process.execPath, ...args]);
};

/** What both kinds of node are given, and which pairs have to connect by it. */
const SERVERS = {
  "two STUN servers": {
    wattle: () => ice(...coturn.stuns),
    clayground: () => coturn.stuns,
    connects: (ours, its) => theory.WITH_STUN[ours][its],
  },
  TURN: {
    wattle: () => ice(...coturn.stuns, coturn.turn("udp"), coturn.turn("tcp")),
    clayground: () => {
      const turn = { hostname: coturn.ipv4, port: 3478, username: USERNAME, password: CREDENTIAL };
      return [...coturn.stuns, { ...turn, relayType: "TurnUdp" }];
    },
    // libdatachannel asks a TURN server over UDP alone.
    connects: (ours, its) => its !== "blocked",
  },
};

const sides = ["wattle", "Clayground"];

for (const [which, { wattle, clayground: given, connects }] of Object.entries(SERVERS)) {
  const joining = async (t, ours, its) => {
    const { node, code } = await host(t, hosts[ours], url.ipv4, ...wattle());
    const clay = clayground(t, joiners[its], "join", name(), code, given());
    const { node: id } = await node.event("node_joined", { within: 60_000 });
    const { text } = await node.event("message", { with: { from: id } });
    assert.deepEqual(JSON.parse(text), { i: "am clay" });
    node.command('broadcast {"i":"host"}');
    const { payload } = await clay.event("message");
    assert.deepEqual(payload, { i: "host" });
  };
  matrix(`a Clayground joiner, with ${which}`, joining, { sides, wanted: connects });

  // Those that cannot connect, too: a joiner of ours says so.
  const hosting = async (t, ours, its) => {
    const code = name();
    const clay = clayground(t, hosts[its], "host", code, code, given());
    await clay.event("open", { within: 60_000 });
    const node = joiner(t, joiners[ours], code, url.ipv4, ...wattle());
    if (!connects(ours, its)) {
      await failsInIce(node);
      return;
    }
    await node.event("joined", { within: 60_000 });
    node.command('broadcast {"i":"joiner"}');
    const { payload } = await clay.event("message");
    assert.deepEqual(payload, { i: "joiner" });
    const { text } = await node.event("message");
    assert.deepEqual(JSON.parse(text), { i: "am clay" });
  };
  matrix(`a Clayground host, with ${which}`, hosting, { sides });
}
