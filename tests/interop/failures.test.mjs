// What goes wrong in the world, with real processes: each thing has its own kind, ends within its
// deadline, and leaves nothing behind.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as path } from "node:path";
import { test } from "node:test";

import { PeerServer, Wattle, freePort, host, join, sleep, until } from "./processes.mjs";

/** What a busy machine may add to anything. How long things take of themselves is tested in virtual time. */
const BUSY_MS = 15_000;

/** Lost after 5 s of silence. */
const LOST_MS = 5_000 + BUSY_MS;

test("PeerServer restarts: no link drops, and the code can be joined again", async (t) => {
  const server = await PeerServer.start(t);
  const { node: first, code } = await host(t, "--signal", server.url);
  const two = await join(t, "joiner 1", code, "--signal", server.url);
  const three = await join(t, "joiner 2", code, "--signal", server.url);
  const nodes = [first, two.node, three.node];
  const marks = nodes.map((each) => each.mark);

  await server.stop();
  await sleep(2_000);
  first.command("broadcast the server is down");
  for (const { node } of [two, three]) {
    await node.event("message", { with: { text: "the server is down" } });
  }

  await server.restart();
  const restarted = Date.now();
  // A person tries again, too.
  let fourth;
  do {
    const attempt = new Wattle(t, "joiner 3", "join", code, "--signal", server.url);
    fourth = await attempt.event("joined").then(
      (joined) => ({ node: attempt, id: joined.node }),
      () => undefined,
    );
  } while (!fourth && Date.now() - restarted < 10_000 + BUSY_MS);
  assert.ok(fourth, "nobody could join after the restart");

  fourth.node.command("broadcast all together");
  for (const [number, node] of nodes.entries()) {
    await node.event("message", { with: { from: fourth.id, text: "all together" } });
    const since = node.events.slice(marks[number]);
    const bad = since.filter((each) =>
      ["node_left", "node_lost", "error", "ended"].includes(each.event),
    );
    assert.deepEqual(bad, [], `node ${number}: the links were left alone`);
  }
});

test("an idle host stays registered: it sends heartbeats", async (t) => {
  // PeerServer forgets a client that is silent for 12 s here instead of 60 s.
  const server = await PeerServer.start(t, "--alive_timeout", "12000");
  const { node, code } = await host(t, "--signal", server.url);
  await sleep(26_000);
  await join(t, "joiner", code, "--signal", server.url);
  assert.deepEqual(node.all("signaling_lost"), [], "it never had to register again");
});

test("a wrong code is code_not_found", async (t) => {
  const server = await PeerServer.start(t);
  // PeerServer says so after 5 to 6 s.
  const signal = ["--signal", server.url, "--timeout", "20"];
  const lost = new Wattle(t, "joiner", "join", "ZZZZ99", ...signal);
  await lost.failsWith("code_not_found", { within: 6_000 + BUSY_MS });
});

test("a code that somebody hosts already is code_taken", async (t) => {
  const server = await PeerServer.start(t);
  const { code } = await host(t, "--signal", server.url);
  const second = new Wattle(t, "host 2", "host", "--signal", server.url, "--code", code);
  await second.failsWith("code_taken");
});

test("a server that is down is signaling_connection_refused", async (t) => {
  const signal = ["--signal", `ws://127.0.0.1:${await freePort()}/peerjs`, "--timeout", "3"];
  const nodes = [
    new Wattle(t, "host", "host", ...signal),
    new Wattle(t, "joiner", "join", "ABCDEF", ...signal),
  ];
  for (const node of nodes) {
    await node.failsWith("signaling_connection_refused", { within: 3_000 + BUSY_MS });
  }
});

test("a LAN code whose host is gone is signaling_connection_refused", async (t) => {
  const { node, code } = await host(t, "--lan");
  node.command("leave");
  assert.equal(await node.exit(), 0);
  const late = new Wattle(t, "joiner", "join", code, "--timeout", "3");
  await late.failsWith("signaling_connection_refused", { within: 3_000 + BUSY_MS });
});

test("a server without a WebSocket at this path is signaling_http or signaling_protocol", async (t) => {
  const server = await PeerServer.start(t);
  const url = server.url.replace("/peerjs", "/elsewhere");
  const node = new Wattle(t, "host", "host", "--signal", url, "--timeout", "8");
  const error = await node.event("error", { within: 8_000 + BUSY_MS });
  assert.match(error.kind, /^signaling_(http|protocol)$/);
  assert.equal(await node.exit(), 1);
});

test("a certificate that nobody vouches for is signaling_certificate", async (t) => {
  const folder = mkdtempSync(path(tmpdir(), "wattle-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [path(folder, "key.pem"), path(folder, "cert.pem")];
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", [...request, ...names, "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  const server = await PeerServer.start(t, "--sslkey", key, "--sslcert", cert);
  const url = `wss://localhost:${server.port}/peerjs`;
  const node = new Wattle(t, "host", "host", "--signal", url, "--timeout", "8");
  await node.failsWith("signaling_certificate", { within: 8_000 + BUSY_MS });
});

test("the host is killed: every joiner ends with host_lost", async (t) => {
  const { node: first, code } = await host(t, "--lan");
  const joiners = [];
  for (let number = 1; number <= 3; number += 1) {
    joiners.push(await join(t, `joiner ${number}`, code));
  }
  first.kill();
  await Promise.all(
    joiners.map(({ node }) => node.failsWith("host_lost", { within: LOST_MS })),
  );
});

test("a joiner is killed: it leaves for everybody, and the host keeps nothing of it", async (t) => {
  const { node: first, code } = await host(t, "--lan");
  const two = await join(t, "joiner 1", code);
  // Its connection for signaling goes a moment later.
  let before;
  await until("the host is at rest", BUSY_MS, async () => {
    before = first.openFiles();
    await sleep(1_000);
    return first.openFiles() === before;
  });
  for (let round = 1; round <= 2; round += 1) {
    const three = await join(t, `joiner to be killed ${round}`, code);
    three.node.kill();
    for (const node of [first, two.node]) {
      await node.event("node_left", { with: { node: three.id, reason: "lost" }, within: LOST_MS });
    }
  }
  await until("the sockets of the killed are closed", BUSY_MS, () => first.openFiles() <= before);
  first.command("broadcast still here");
  await two.node.event("message", { with: { text: "still here" } });
});

test("a host that is silent in the middle of a join: timed_out_signaling, then all is well", async (t) => {
  const server = await PeerServer.start(t);
  const { node: first, code } = await host(t, "--signal", server.url);
  first.freeze();
  const early = new Wattle(t, "joiner 1", "join", code, "--signal", server.url, "--timeout", "4");
  await early.failsWith("timed_out_signaling", { within: 4_000 + BUSY_MS });
  first.thaw();
  const late = await join(t, "joiner 2", code, "--signal", server.url);
  late.node.command("broadcast hello");
  await first.event("message", { with: { from: late.id, text: "hello" } });
});

test("a joiner that dies in the middle of its join holds no place", async (t) => {
  const { node: first, code } = await host(t, "--lan", "--max-nodes", "2");
  const early = new Wattle(t, "joiner 1", "join", code);
  await early.event("phase");
  early.kill();
  // Its place is held for 5 s without a packet, or until it is lost.
  let late;
  await until("somebody else can join", 5_000 + 2 * BUSY_MS, async () => {
    const attempt = new Wattle(t, "joiner 2", "join", code);
    late = await attempt.event("joined").then(
      () => attempt,
      () => undefined,
    );
    return late;
  });
  late.command("broadcast hello");
  await first.event("message", { with: { text: "hello" } });
});

test("wrong arguments end with status 2, and say why", async (t) => {
  const wrong = [
    ["join"],
    ["join", "NOT A CODE"],
    ["join", "L-"],
    ["join", "ABCDE1"],
    ["host", "--max-nodes", "1"],
    ["host", "--max-nodes", "65"],
    ["host", "--signal", "http://127.0.0.1/"],
    ["host", "--lan", "--signal", "ws://127.0.0.1:1/peerjs"],
    ["host", "--topology", "ring"],
    ["join", "ABCDEF", "--topology", "mesh"],
    ["host", "--timeout", "soon"],
    ["dance"],
  ];
  for (const args of wrong) {
    const node = new Wattle(t, args.join(" "), ...args);
    assert.equal(await node.exit(), 2, args.join(" "));
    assert.deepEqual(
      node.events.map((each) => [each.event, each.kind]),
      [["error", "usage"]],
      args.join(" "),
    );
  }
});
