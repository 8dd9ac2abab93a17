// Clayground's dialect with other WebRTC stacks, in both roles: `wattle` hosts and joins.

import assert from "node:assert/strict";
import test from "node:test";

import { PeerServer, Process, again, program, until } from "../interop/processes.mjs";
import { Clayground } from "./clayground.mjs";
import * as libdatachannel from "./stacks/libdatachannel.mjs";
import * as werift from "./stacks/werift.mjs";

const STACKS = { libdatachannel, werift };

const wattle = (t, name, ...args) =>
  new Process(t, name, program("WATTLE"), [...args, "--no-ice", "--grace", "6", "--json"]);

const CODE = "ABCDEF";

/** A host of ours, and a joiner. */
const network = async (t, ...args) => {
  const server = await PeerServer.start(t);
  const signal = ["--signal", server.url];
  const host = wattle(t, "host", "host", "--code", CODE, ...signal, ...args);
  await host.event("network_created");
  const joiner = wattle(t, "joiner", "join", CODE, ...signal);
  const { node } = await joiner.event("joined");
  return { server, host, joiner, node };
};

for (const [stack, { connect }] of Object.entries(STACKS)) {
  test(`a Clayground joiner (${stack}) in the network of a wattle host`, async (t) => {
    const { server, host, joiner, node } = await network(t);
    const clay = new Clayground(t, connect, server.url, "clay1");
    const before = host.mark;
    await clay.join(CODE);
    const roster = await clay.frame("y", (one) => one.sys === "roster");
    assert.deepEqual(roster.nodes, [node]);
    const others = (one) => one.node !== node && one.event === "node_joined";
    await until("it is in", 20_000, () => host.events.slice(before).some(others));
    const { node: its } = host.events.slice(before).find(others);
    await joiner.event("node_joined", { with: { node: its } });

    clay.message({ x: 1.0, big: "é" });
    for (const one of [host, joiner]) {
      const { text } = await one.event("message", { with: { from: its } });
      assert.deepEqual(JSON.parse(text), { x: 1, big: "é" });
    }
    const shows = () => clay.state({ n: 1 });
    await again("its state", shows, () => [host, joiner].every((one) => one.hasStateOf(its)));

    host.command('broadcast {"of":"host"}');
    joiner.command('broadcast {"of":"joiner"}');
    const first = await clay.frame("m", (one) => one.d.of === "host");
    assert.equal(first.from, undefined);
    const second = await clay.frame("m", (one) => one.d.of === "joiner");
    assert.equal(second.from, node);
    await again("a state", () => joiner.command('state {"s":1}'), () => clay.heard.all.some((one) => one.t === "s"));
    const state = await clay.frame("s");
    assert.deepEqual([state.from, state.on], [node, "state"]);
    assert.ok(state.q >= 1, `${state.q}`);
    const long = JSON.stringify({ long: "x".repeat(60_000) });
    joiner.command(`broadcast ${long}`);
    const whole = await clay.frame("m", (one) => one.d.long);
    assert.equal(whole.d.long.length, 60_000);

    // Another one comes, and hears the first; then the first goes.
    const other = new Clayground(t, connect, server.url, "clay2");
    await other.join(CODE);
    await other.frame("y", (one) => one.nodes?.includes("clay1"));
    await clay.frame("y", (one) => one.sys === "node_joined" && one.nodeId === "clay2");
    clay.say({ t: "m", d: { forged: true }, from: "clay2" });
    const forged = await other.frame("m", (one) => one.d.forged);
    assert.equal(forged.from, "clay1", "nobody speaks for another");
    clay.leave();
    await host.event("node_left", { with: { node: its } });
    await other.frame("y", (one) => one.sys === "node_left" && one.nodeId === "clay1");
  });

  test(`a full network says so to a Clayground joiner (${stack})`, async (t) => {
    const { server } = await network(t, "--max-nodes", "2");
    const clay = new Clayground(t, connect, server.url, "late");
    await clay.join(CODE);
    const refused = await clay.frame("R");
    assert.equal(refused.r, "Network full");
  });

  test(`a wattle joiner in the network of a Clayground host (${stack})`, async (t) => {
    const server = await PeerServer.start(t);
    const clay = new Clayground(t, connect, server.url, CODE);
    await clay.open;
    const joiner = wattle(t, "joiner", "join", CODE, "--signal", server.url);
    // Not at once: werift leaves it to the joiner to begin SCTP, which it does in a second attempt.
    const { nodes } = await joiner.event("joined");
    assert.equal(nodes.length, 2);
    await clay.heard.find("a joiner", (one) => one.welcomed);
    joiner.command('broadcast {"hello":1}');
    await clay.frame("m", (one) => one.d.hello === 1);
    clay.message({ welcome: true });
    const { from, text } = await joiner.event("message");
    assert.deepEqual([from, JSON.parse(text)], [nodes[0], { welcome: true }]);
    await again("a state", () => joiner.command('state {"s":1}'), () => clay.heard.all.some((one) => one.t === "s"));
    assert.equal((await clay.frame("s")).on, "state");
    await again("its state", () => clay.state({ s: 2 }), () => joiner.hasStateOf(nodes[0]));

    const before = joiner.mark;
    const second = wattle(t, "second", "join", CODE, "--signal", server.url);
    assert.equal((await second.network(3)).size, 3);
    await joiner.event("node_joined", { after: before });
    second.command('broadcast {"second":1}');
    clay.relay(await clay.frame("m", (one) => one.d.second));
    await joiner.event("message", { with: { text: '{"second":1}' } });
    clay.leave();
    const ended = await joiner.event("ended");
    // werift goes without a word to the other side.
    assert.equal(ended.reason, stack === "werift" ? "host_lost" : "host_closed");
  });
}
