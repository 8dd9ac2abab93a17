// Clayground's dialect with a third WebRTC stack, aiortc, in both roles.
//
// Environment: AIORTC is a Python with what is in requirements.txt.

import assert from "node:assert/strict";
import test from "node:test";
import { fileURLToPath } from "node:url";

import { PeerServer, Process, again, program, until } from "../interop/processes.mjs";

const CODE = "ABCDEF";

const wattle = (t, name, ...args) =>
  new Process(t, name, program("WATTLE"), [...args, "--no-ice", "--grace", "6", "--json"]);

const aiortc = (t, url, ...args) => {
  const script = fileURLToPath(new URL("aiortc_node.py", import.meta.url));
  return new Process(t, "aiortc", program("AIORTC"), [script, url, ...args]);
};

/** The frame of this type that it heard, with whatever matches. */
const frame = async (node, t, matches = () => true) => {
  const heard = () => node.all("frame").find((one) => one.t === t && matches(one.frame));
  await until(`a frame ${t}`, 20_000, heard);
  return heard();
};

test("an aiortc joiner in the network of a wattle host", async (t) => {
  const server = await PeerServer.start(t);
  const host = wattle(t, "host", "host", "--code", CODE, "--signal", server.url);
  await host.event("network_created");
  const joiner = wattle(t, "joiner", "join", CODE, "--signal", server.url);
  const { node } = await joiner.event("joined");
  const before = host.mark;
  const clay = aiortc(t, server.url, "clay1", "join", CODE);
  const roster = await frame(clay, "y", (one) => one.sys === "roster");
  assert.deepEqual(roster.frame.nodes, [node]);
  const others = (one) => one.node !== node && one.event === "node_joined";
  await until("it is in", 20_000, () => host.events.slice(before).some(others));
  const { node: its } = host.events.slice(before).find(others);
  clay.command('data {"t":"m","d":{"x":"é"}}');
  for (const one of [host, joiner]) {
    const { text } = await one.event("message", { with: { from: its } });
    assert.deepEqual(JSON.parse(text), { x: "é" });
  }
  const shows = () => clay.command('state {"t":"s","q":1,"d":{"s":1}}');
  await again("its state", shows, () => [host, joiner].every((one) => one.hasStateOf(its)));
  host.command('broadcast {"of":"host"}');
  joiner.command('broadcast {"of":"joiner"}');
  const first = await frame(clay, "m", (one) => one.d.of === "host");
  assert.equal(first.frame.from, undefined);
  const second = await frame(clay, "m", (one) => one.d.of === "joiner");
  assert.equal(second.frame.from, node);
  await again("a state", () => joiner.command('state {"s":2}'), () => clay.all("frame").some((one) => one.t === "s"));
  const state = await frame(clay, "s");
  assert.deepEqual([state.frame.from, state.on], [node, "state"]);
  joiner.command(`broadcast ${JSON.stringify({ long: "x".repeat(60_000) })}`);
  await frame(clay, "m", (one) => one.d.long?.length === 60_000);
  clay.command("leave");
  await host.event("node_left", { with: { node: its } });
  assert.deepEqual(clay.all("text", "NOT JSON"), []);
});

test("wattle joiners in the network of an aiortc host", async (t) => {
  const server = await PeerServer.start(t);
  const clay = aiortc(t, server.url, CODE, "host");
  await clay.event("registered");
  const joiner = wattle(t, "joiner", "join", CODE, "--signal", server.url);
  const { nodes } = await joiner.event("joined");
  assert.equal(nodes.length, 2);
  joiner.command('broadcast {"hello":1}');
  await frame(clay, "m", (one) => one.d.hello === 1);
  clay.command('data {"t":"m","d":{"welcome":true}}');
  const { from } = await joiner.event("message", { with: { text: '{"welcome": true}' } });
  assert.equal(from, nodes[0]);
  await again("a state", () => joiner.command('state {"s":1}'), () => clay.all("frame").some((one) => one.t === "s"));
  assert.equal((await frame(clay, "s")).on, "state");
  const shows = () => clay.command('state {"t":"s","q":1,"d":{"s":2}}');
  await again("its state", shows, () => joiner.hasStateOf(nodes[0]));
  const before = joiner.mark;
  const second = wattle(t, "second", "join", CODE, "--signal", server.url);
  assert.equal((await second.network(3)).size, 3);
  await joiner.event("node_joined", { after: before });
  clay.command("leave");
  await joiner.event("ended");
});
