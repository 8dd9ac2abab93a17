// One script for all drivers. A script (the `.txt` files here) says what nodes do and which events that
// leads to; simulation (`tests/tests/scripts.rs`), processes (`tests/interop`) and pages (`tests/browser`)
// run the same scripts, and each must tell its nodes exactly these events.
//
//   a host star 3            at the margin: a node, and what it does
//       a network_created    below it: a node, and what it is told, in this order; between nodes there is none
//
// What nodes do:
//
//   host star|mesh NODES [alone]    alone: it passes nothing on from joiner to joiner
//   join [CODE]                     without CODE: the network of who hosted last
//   broadcast TEXT, state TEXT, send NODE TEXT, kick NODE, leave: as the commands of `wattle`
//   crash                           it is gone without a word
//   server stop, server start       not a node: the signaling server
//
// Events have the words of the command's JSON lines, without what differs between one run and another: times,
// addresses, and node ids, for which the script's names stand. `error` is a refused command.
//
// Real processes and pages may be told more in one case: a machine that lets one of them wait for two seconds makes
// the others suspect it, and look for a way through the host. Both are passed over, once they are taken back. In
// simulation there is neither.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";

import { sleep } from "../interop/processes.mjs";

const here = new URL(".", import.meta.url);

/** All scripts: their names and steps. */
export const scripts = () =>
  readdirSync(here)
    .filter((file) => file.endsWith(".txt"))
    .sort()
    .map((file) => ({ name: file, steps: read(readFileSync(new URL(file, here), "utf8")) }));

const read = (text) => {
  const steps = [];
  for (const [number, line] of text.split("\n").entries()) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("    ")) {
      const [, node, event] = /^ {4}(\S+) (.*)$/.exec(line);
      (steps.at(-1).leadsTo[node] ??= []).push(event);
    } else {
      const [, node, verb, rest = ""] = /^(\S+) (\S+)(?: (.*))?$/.exec(line);
      steps.push({ line: number + 1, doing: line, node, verb, rest, leadsTo: {} });
    }
  }
  return steps;
};

/** Longer than anything takes that a step leads to. */
const STEP = 60_000;

/**
 * Runs a script. `make` makes a node of a name: it has `events`, all so far and as `wattle` writes them, its
 * `ids` in all networks that it was in, and a method for everything that nodes do. `server` can `stop` and
 * `start`.
 */
export const play = async (script, make, server) => {
  const nodes = new Map();
  const taken = new Map();
  let code;
  const node = (name) => {
    if (!nodes.has(name)) {
      nodes.set(name, make(name));
      taken.set(name, 0);
    }
    return nodes.get(name);
  };
  const named = (id) => [...nodes].find(([, { ids }]) => ids.includes(id))?.[0] ?? id;

  /** What the nodes were told that was not accounted for yet. */
  const told = () => {
    const all = {};
    for (const [name, { events }] of nodes) {
      const lines = calm(events.slice(taken.get(name)).map((event) => asLine(event, named)).filter(Boolean));
      if (lines.length > 0) all[name] = lines;
    }
    return all;
  };
  const agree = (one, other) => {
    try {
      assert.deepEqual(one, other);
      return true;
    } catch {
      return false;
    }
  };
  /** Waits until the nodes were told this, and no more. */
  const tell = async (expected, what) => {
    const end = Date.now() + STEP;
    while (!agree(told(), expected) && Date.now() < end) await sleep(20);
    assert.deepEqual(told(), expected, what);
  };

  for (const { line, doing, node: name, verb, rest, leadsTo } of script.steps) {
    if (name === "server") {
      await server[verb]();
    } else if (verb === "host") {
      const [topology, maxNodes, alone] = rest.split(" ");
      code = await node(name).host(topology, Number(maxNodes), alone !== "alone");
    } else if (verb === "join") {
      await node(name).join(rest || code);
    } else if (verb === "send") {
      const [, to, text] = /^(\S+) (.*)$/.exec(rest);
      await node(name).send(node(to).ids.at(-1), text);
    } else {
      await node(name)[verb](verb === "kick" ? node(rest).ids.at(-1) : rest);
    }
    await tell(leadsTo, `${script.name}:${line}: ${doing}`);
    for (const [name, { events }] of nodes) taken.set(name, events.length);
  }
  await sleep(1_000);
  await tell({}, `${script.name}: nothing follows`);
};

/** What a node was told, without what was taken back. */
const calm = (lines) => {
  const rest = [];
  for (const line of lines) {
    const [event, node, route] = line.split(" ");
    let before;
    if (event === "node_back") before = rest.lastIndexOf(`node_suspect ${node}`);
    else if (event === "node_route" && route === "direct") before = rest.lastIndexOf(`node_route ${node} relayed`);
    if (before >= 0) rest.splice(before, 1);
    else rest.push(line);
  }
  return rest;
};

/** An event without what differs; nothing for those that are no part of a script. */
const asLine = (event, named) => {
  const { event: name } = event;
  switch (name) {
    case "phase":
      return `phase ${event.phase}`;
    case "joined":
      return `joined ${event.nodes.map(named).join(" ")}`;
    case "node_route":
      return `node_route ${named(event.node)} ${event.route}`;
    case "node_left":
      return `node_left ${named(event.node)} ${event.reason}`;
    case "message":
    case "state":
      return `${name} ${named(event.from)} ${event.text}`;
    case "connect_report":
      return `connect_report ${event.verdict}`;
    case "host_lost":
    case "ended":
      return `${name} ${event.reason}`;
    case "error":
      // Without a command it is the reason of `ended`, which follows.
      return event.command === undefined ? undefined : `error ${event.kind}`;
    default:
      return event.node === undefined || name === "network_created" ? name : `${name} ${named(event.node)}`;
  }
};
