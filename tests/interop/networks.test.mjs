// Whole networks of real processes: who is there, and what arrives.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PeerServer, WAYS, Wattle, host, join } from "./processes.mjs";

/**
 * A host and `count - 1` joiners, one after the other, until each has been told of all others: a
 * broadcast goes to those whom its sender knows of, and the earlier joiners hear of the last one
 * at about the time when it is welcomed itself.
 */
const network = async (t, way, count, ...hostArgs) => {
  const { hosting, joining } = await WAYS[way](t);
  const { node: first, code } = await host(t, ...hosting, ...hostArgs);
  const joiners = [];
  for (let number = 1; number < count; number += 1) {
    joiners.push(await join(t, `joiner ${number}`, code, ...joining));
  }
  const ids = [joiners[0].nodes[0], ...joiners.map((each) => each.id)];
  const nodes = [first, ...joiners.map((each) => each.node)];
  for (const [number, node] of nodes.entries()) {
    for (const id of ids.filter((each) => each !== ids[number])) {
      await node.event("node_joined", { with: { node: id } });
    }
  }
  return { code, joining, ids, nodes, joiners };
};

for (const way of Object.keys(WAYS)) {
  test(`two nodes by ${way}: messages, state, statistics and a clean end`, async (t) => {
    const { ids, nodes, joiners } = await network(t, way, 2);
    const [one, two] = nodes;
    assert.deepEqual(joiners[0].nodes, ids, "the roster has the host first");
    for (const part of ["signaling_ms", "ice_ms", "datachannel_ms", "total_ms"]) {
      assert.equal(typeof joiners[0].timing[part], "number", `timing.${part}`);
    }
    await one.event("node_joined", { with: { node: ids[1] } });
    const phases = two.all("phase").map((each) => each.phase);
    assert.deepEqual(phases, ["signaling", "ice", "datachannel"]);

    one.command("broadcast from the host, ü and spaces  kept");
    await two.event("message", {
      with: { from: ids[0], text: "from the host, ü and spaces  kept" },
    });
    two.command("broadcast from the joiner");
    await one.event("message", { with: { from: ids[1], text: "from the joiner" } });
    two.command(`send ${ids[0]} only for you`);
    await one.event("message", { with: { from: ids[1], text: "only for you" } });

    await one.state("first", ids[0], two);
    const first = await two.event("state", { with: { from: ids[0], text: "first" } });
    await one.state("second", ids[0], two);
    const second = await two.event("state", { with: { from: ids[0], text: "second" } });
    assert.ok(second.seq > first.seq, "a later state has a later sequence number");

    one.command("stats");
    await one.event("stats");

    two.command("leave");
    await two.event("ended", { with: { reason: "left" } });
    assert.equal(await two.exit(), 0);
    await one.event("node_left", { with: { node: ids[1], reason: "left" } });
    one.command("leave");
    await one.event("ended", { with: { reason: "left" } });
    assert.equal(await one.exit(), 0);
    assert.deepEqual([...one.all("error"), ...two.all("error")], []);
  });

  test(`eight nodes by ${way}; the ninth is refused, and comes in when one has left`, async (t) => {
    const { code, joining, ids, nodes, joiners } = await network(t, way, 8);
    assert.equal(new Set(ids).size, 8);
    assert.deepEqual(joiners.at(-1).nodes, ids, "the last to join sees all, in join order");

    // Everybody hears everybody, and nobody itself.
    for (const [number, node] of nodes.entries()) node.command(`broadcast I am ${number}`);
    for (const [to, node] of nodes.entries()) {
      for (const [from, id] of ids.entries()) {
        if (from === to) continue;
        await node.event("message", { with: { from: id, text: `I am ${from}` } });
      }
    }
    for (const [number, node] of nodes.entries()) {
      assert.equal(node.all("message").length, 7, `node ${number}`);
      const others = ids.filter((id) => id !== ids[number]);
      const joined = node.all("node_joined").map((each) => each.node);
      assert.deepEqual(joined.sort(), others.sort(), `node ${number}`);
    }

    // From joiner to joiner, through the host.
    nodes[3].command(`send ${ids[7]} a secret`);
    await nodes[7].event("message", { with: { from: ids[3], text: "a secret" } });

    const ninth = new Wattle(t, "the ninth", "join", code, ...joining);
    await ninth.failsWith("network_full");
    assert.deepEqual(nodes[0].all("message").length, 7, "nobody heard of the ninth or the secret");

    nodes[4].command("leave");
    assert.equal(await nodes[4].exit(), 0);
    for (const node of nodes) {
      if (node === nodes[4]) continue;
      await node.event("node_left", { with: { node: ids[4], reason: "left" } });
    }
    const tenth = await join(t, "the tenth", code, ...joining);
    assert.equal(tenth.nodes.length, 8);

    // The host removes one, and then ends it for all.
    nodes[0].command(`kick ${ids[2]}`);
    await nodes[2].failsWith("kicked");
    await nodes[1].event("node_left", { with: { node: ids[2], reason: "kicked" } });
    nodes[0].command("leave");
    assert.equal(await nodes[0].exit(), 0);
    for (const node of [nodes[1], nodes[3], nodes[5], nodes[6], nodes[7], tenth.node]) {
      await node.event("ended", { with: { reason: "host_closed" } });
      assert.equal(await node.exit(), 0);
    }
  });
}

test("a host that does not relay is all that a joiner reaches", async (t) => {
  const { ids, nodes } = await network(t, "a LAN code", 3, "--no-relay");
  nodes[1].command("broadcast to whom it reaches");
  await nodes[0].event("message", { with: { from: ids[1], text: "to whom it reaches" } });
  nodes[0].command("broadcast to all");
  await nodes[2].event("message", { with: { from: ids[0], text: "to all" } });
  assert.equal(nodes[2].all("message").length, 1, "the other joiner heard the host alone");
});

test("the host may choose the code, and its case does not matter", async (t) => {
  const server = await PeerServer.start(t);
  const { code } = await host(t, "--signal", server.url, "--code", "hjk234");
  assert.equal(code, "HJK234");
  await join(t, "joiner", "hJk234", "--signal", server.url);
});

test("a network of two has room for one joiner", async (t) => {
  const { code } = await network(t, "a LAN code", 2, "--max-nodes", "2");
  await new Wattle(t, "the third", "join", code).failsWith("network_full");
});
