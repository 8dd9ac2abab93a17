// Meshes of real processes: who is linked to whom, and what becomes of them without their host.

import assert from "node:assert/strict";
import { test } from "node:test";

import { WAYS, host, join, until } from "./processes.mjs";

/** Lost after 5 s of silence; the rest is for a busy machine. */
const LOST_MS = 5_000 + 15_000;

/**
 * Waits until this node's links to all are direct, and says whether they always were: a busy machine may keep a node
 * silent for a while, and then the host passes on.
 */
const stayedDirect = async (node) => {
  const gone = new Set(node.all("node_left").map((each) => each.node));
  const routes = () => node.all("node_route").filter((each) => !gone.has(each.node));
  const now = () => [...new Map(routes().map(({ node, route }) => [node, route])).values()];
  await until("all links are direct", 20_000, () => now().every((route) => route === "direct"));
  return routes().every(({ route }) => route === "direct");
};

/** A mesh in which every node has a link to every other. */
const mesh = async (t, way, count) => {
  const { hosting, joining } = await WAYS[way](t);
  const { node: first, code } = await host(t, ...hosting, "--topology", "mesh");
  const joiners = [];
  for (let number = 1; number < count; number += 1) {
    joiners.push(await join(t, `joiner ${number}`, code, ...joining));
  }
  const ids = [joiners[0].nodes[0], ...joiners.map((each) => each.id)];
  const nodes = [first, ...joiners.map((each) => each.node)];
  for (const [number, node] of nodes.entries()) {
    for (const [other, id] of ids.entries()) {
      if (other === number) continue;
      await node.event("node_joined", { with: { node: id } });
      // Links to the host are direct from the beginning: nothing is said of them.
      if (other === 0 || number === 0) continue;
      await node.event("node_route", { with: { node: id, route: "direct" } });
    }
  }
  return { ids, nodes, code, joining };
};

/** Everybody sends to all and hears all others, by message and by state. */
const talk = async (ids, nodes, word) => {
  for (const [number, node] of nodes.entries()) {
    node.command(`broadcast ${word} ${number}`);
    await node.state(`${word} ${number}`, ids[number], ...nodes.filter((each) => each !== node));
  }
  for (const [to, node] of nodes.entries()) {
    for (const [from, id] of ids.entries()) {
      if (from === to) continue;
      await node.event("message", { with: { from: id, text: `${word} ${from}` } });
    }
  }
};

for (const way of Object.keys(WAYS)) {
  test(`a mesh of four by ${way}: direct links, and a life without the host`, async (t) => {
    const { ids, nodes } = await mesh(t, way, 4);
    await talk(ids, nodes, "hello from");
    nodes[2].command(`send ${ids[3]} a secret`);
    await nodes[3].event("message", { with: { from: ids[2], text: "a secret" } });
    const undisturbed = (await Promise.all(nodes.map(stayedDirect))).every(Boolean);
    for (const node of nodes) {
      const after = node.mark;
      node.command("stats");
      const stats = await node.event("stats", { after });
      assert.deepEqual(stats.nodes.map((each) => each.relayed), [false, false, false]);
      if (undisturbed) assert.equal(stats.counters.messages_relayed, 0, "nothing went through the host");
    }

    nodes[0].kill();
    const [restIds, rest] = [ids.slice(1), nodes.slice(1)];
    for (const node of rest) {
      const left = { with: { node: ids[0], reason: "lost" }, within: LOST_MS };
      await node.event("node_left", left);
      const lost = await node.event("host_lost", { with: { reason: "lost" } });
      assert.ok(lost.message.length > 0);
    }
    await talk(restIds, rest, "without a host");

    rest[2].command("leave");
    assert.equal(await rest[2].exit(), 0);
    for (const node of rest.slice(0, 2)) {
      await node.event("node_left", { with: { node: restIds[2], reason: "left" } });
    }
    // Who is left alone ends as its host did.
    rest[1].kill();
    await rest[0].failsWith("host_lost", { within: LOST_MS });
  });
}

test("a host that closes its mesh leaves the others to each other", async (t) => {
  const { ids, nodes, code, joining } = await mesh(t, "PeerServer", 3);
  nodes[0].command("leave");
  assert.equal(await nodes[0].exit(), 0);
  for (const node of nodes.slice(1)) {
    await node.event("host_lost", { with: { reason: "left" } });
  }
  await talk(ids.slice(1), nodes.slice(1), "still here");
  const late = join(t, "too late", code, ...joining, "--timeout", "20");
  await assert.rejects(late, /code_not_found/, "nobody can join any more");
  nodes[1].command("leave");
  assert.equal(await nodes[1].exit(), 0);
  await nodes[2].event("ended", { with: { reason: "host_closed" } });
  assert.equal(await nodes[2].exit(), 0);
});

test("a joiner of a mesh is killed: it leaves for everybody, and the rest stays linked", async (t) => {
  const { ids, nodes, code } = await mesh(t, "a LAN code", 4);
  nodes[2].kill();
  const rest = [nodes[0], nodes[1], nodes[3]];
  for (const node of rest) {
    await node.event("node_left", { with: { node: ids[2], reason: "lost" }, within: LOST_MS });
  }
  const marks = rest.map((node) => node.mark);
  const late = await join(t, "a new joiner", code);
  for (const node of rest.slice(1)) {
    await node.event("node_route", { with: { node: late.id, route: "direct" } });
  }
  await talk([ids[0], ids[1], ids[3], late.id], [...rest, late.node], "all but one");
  for (const [number, node] of rest.entries()) {
    const since = node.events.slice(marks[number]);
    await stayedDirect(node);
    assert.deepEqual(since.filter((each) => each.event === "node_lost"), [], `node ${number}: all links live`);
  }
});
