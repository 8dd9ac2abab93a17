// What `wattle doctor` says behind each kind of gateway. What it promises must hold in theory.mjs.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet, KINDS } from "./internet.mjs";
import { Node, ice, scope, signaling } from "./nodes.mjs";
import { NAT, WITH_STUN } from "./theory.mjs";

const own = scope();
let internet;
let url;
let coturn;

before(async () => {
  internet = new Internet();
  url = await signaling(own, internet);
  coturn = await Coturn.start(own, internet, [internet.server(), internet.server()]);
});

after(async () => {
  await own.end();
  internet.remove();
});

/** Its report and exit status. */
const examine = async (t, site, ...args) => {
  const node = new Node(t, `doctor (${site.kind})`, site.node, "doctor", ...args);
  const report = await node.event("doctor", { within: 30_000 });
  return { ...report, status: await node.exit() };
};

// The kinds of site that its words for other nodes mean.
const PEERS = {
  open: ["open"],
  independent: ["full cone", "port-restricted"],
  dependent: ["symmetric"],
  udp_blocked: ["blocked"],
};

/** What it says of others must not be more than theory says. */
const assertReach = (kind, reach) => {
  for (const [peer, kinds] of Object.entries(PEERS)) {
    const { direct } = reach.find((each) => each.peer === peer);
    const really = kinds.map((other) => WITH_STUN[kind][other]);
    if (direct === "yes") assert.ok(really.every(Boolean), `${kind}: ${peer} is not always reached`);
    else if (direct === "no") assert.ok(!really.some(Boolean), `${kind}: ${peer} may be reached`);
    else assert.equal(direct, "sometimes", `${kind}: ${peer}`);
  }
};

describe("wattle doctor", { concurrency: 6 }, () => {
  for (const kind of KINDS) {

    it(`${kind}, with two STUN servers`, async (t) => {
      const site = internet.site(kind);
      const found = await examine(t, site, "--signal", url.ipv4, ...ice(...coturn.stuns));
      assert.equal(found.signaling.ok, true, "signaling is TCP");
      assert.equal(found.nat, NAT[kind]);
      assert.equal(found.udp, kind === "blocked" ? "blocked" : "works");
      assert.equal(found.ipv6, "missing");
      const problems = found.problems.map((each) => each.verdict);
      const expected = { symmetric: ["symmetric_nat"], blocked: ["udp_blocked"] }[kind] ?? [];
      assert.deepEqual(problems, expected);
      assert.equal(found.ok, expected.length === 0);
      assert.equal(found.status, found.ok ? 0 : 1);
      for (const problem of found.problems) assert.ok(problem.remedy.length > 0);
      if (kind !== "blocked") {
        const [address] = found.mapped[0].split(":");
        assert.equal(address, site.public);
      }
      assertReach(kind, found.reach);
    });

    it(`${kind}, with TURN over UDP and TCP`, async (t) => {
      const servers = ice(...coturn.stuns, coturn.turn("udp"), coturn.turn("tcp"));
      const found = await examine(t, internet.site(kind), "--signal", url.ipv4, ...servers);
      assert.equal(found.ok, true, JSON.stringify(found.problems));
      assert.equal(found.status, 0);
      const results = Object.fromEntries(found.servers.map((each) => [each.url, each.result]));
      const byUdp = kind === "blocked" ? "silent" : "answered";
      assert.equal(results[`turn:${coturn.ipv4}`], byUdp, JSON.stringify(results));
      assert.equal(results[`turn:${coturn.ipv4}?transport=tcp`], "answered");
      const relayed = (peer) => found.reach.find((each) => each.peer === peer).relayed;
      for (const peer of ["open", "independent", "dependent"]) {
        assert.equal(relayed(peer), true, `a relay leads to ${peer}`);
      }
      assertReach(kind, found.reach);
    });
  }

  it("IPv6 beside a symmetric NAT", async (t) => {
    const site = internet.site("symmetric", { ipv6: true });
    const servers = ice(...coturn.stuns, coturn.stun6);
    const found = await examine(t, site, "--signal", url.ipv6, ...servers);
    assert.equal(found.ipv6, "works");
    assert.ok(found.mapped.some((each) => each.startsWith(`[${site.ipv6}]`)), `${found.mapped}`);
  });

  it("no signaling server, a silent STUN server, a wrong password", async (t) => {
    const silent = internet.server().ipv4;
    const servers = ice(`stun:${silent}`, coturn.turn("udp", "not the password"));
    const signal = ["--signal", `ws://${silent}:9001/peerjs`];
    const found = await examine(t, internet.site("port-restricted"), ...signal, ...servers);
    assert.equal(found.ok, false);
    assert.equal(found.status, 1);
    assert.equal(found.signaling.ok, false);
    const problems = found.problems.map((each) => each.verdict);
    assert.deepEqual(problems, ["signaling_connection_refused", "turn_credentials_refused"]);
    assert.equal(found.servers[0].result, "silent");
  });
});
