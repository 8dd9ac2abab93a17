// Why not: the verdict of a joiner for every kind of trouble that can be made here. (The matrix has
// those of the NATs, coturn.test.mjs those of TURN's credentials.)

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Coturn, CREDENTIAL, USERNAME } from "./coturn.mjs";
import { Internet } from "./internet.mjs";
import { Node, connected, host, ice, joiner, scope, signaling, until } from "./nodes.mjs";

const own = scope();
let internet;
let url;

before(async () => {
  internet = new Internet();
  url = (await signaling(own, internet)).ipv4;
});

after(async () => {
  await own.end();
  internet.remove();
});

const sites = (...kinds) => kinds.map((kind) => internet.site(kind));

/** The report of a joiner that does not get in. */
const reportOf = async (joining, verdict) => {
  const report = await joining.event("connect_report", { within: 60_000 });
  assert.equal(report.verdict, verdict, JSON.stringify(report, null, 1));
  await joining.event("ended");
  // A failure always comes with advice.
  assert.ok(report.remedy?.length > 0, JSON.stringify(report));
  return report;
};

const turn = (address) =>
  JSON.stringify({ urls: `turn:${address}:3478`, username: USERNAME, credential: CREDENTIAL });

describe("verdicts", { concurrency: 6 }, () => {
  it("nobody hosts a network with this code", async (t) => {
    const [site] = sites("open");
    const joining = joiner(t, site, "ABC234", url, ...ice());
    await reportOf(joining, "code_not_found");
  });

  it("the network is full", async (t) => {
    const [one, other] = sites("open", "open");
    const first = await host(t, one, url, ...ice(), "--max-nodes", "2");
    await connected(first, joiner(t, other, first.code, url, ...ice()));
    await reportOf(joiner(t, other, first.code, url, ...ice()), "network_full");
  });

  it("the signaling server is not there", async (t) => {
    const [site] = sites("open");
    const joining = joiner(t, site, "ABC234", `ws://${internet.server().ipv4}:9001`, ...ice());
    const report = await reportOf(joining, "signaling_connection_refused");
    assert.equal(report.ended_in, "signaling");
  });

  it("a server's name does not exist", async (t) => {
    const [one, other] = sites("port-restricted", "port-restricted");
    const servers = ice("stun:nowhere.wattle.test");
    const first = await host(t, one, url, ...servers);
    await reportOf(joiner(t, other, first.code, url, ...servers), "servers_unresolved");
  });

  it("the STUN server is silent", async (t) => {
    const [one, other] = sites("port-restricted", "port-restricted");
    const servers = ice(`stun:${internet.server().ipv4}`);
    const first = await host(t, one, url, ...servers);
    await reportOf(joiner(t, other, first.code, url, ...servers), "stun_silent");
  });

  it("packets pass in one direction alone", async (t) => {
    const [one, other] = sites("open", "open");
    internet.net.rules(
      "oneway",
      `chain forward {
         type filter hook forward priority 0
         ip saddr ${other.public} ip daddr ${one.public} meta l4proto udp drop
       }`,
    );
    const first = await host(t, one, url, ...ice());
    await reportOf(joiner(t, other, first.code, url, ...ice()), "one_way");
  });

  it("only the host has no STUN server", async (t) => {
    const coturn = await Coturn.start(t, internet, [internet.server(), internet.server()]);
    const [one, other] = sites("port-restricted", "port-restricted");
    const first = await host(t, one, url, ...ice());
    const joining = joiner(t, other, first.code, url, ...ice(...coturn.stuns));
    await reportOf(joining, "only_remote_host_candidates");
  });

  it("the TURN server lends nothing more", async (t) => {
    const coturn = await Coturn.start(t, internet, [internet.server()], ["--user-quota=1"]);
    const [one, other, third] = sites("symmetric", "symmetric", "symmetric");
    // Somebody else has the only place.
    const holder = new Node(
      t,
      "holder",
      third.node,
      ...["host", "--signal", url, ...ice(turn(coturn.ipv4))],
    );
    await holder.event("network_created");
    await until("it has it", 20_000, () => coturn.log.includes("ALLOCATE processed, success"));
    const first = await host(t, one, url, ...ice(coturn.stun));
    await reportOf(joiner(t, other, first.code, url, ...ice(turn(coturn.ipv4))), "turn_refused");
  });

  it("the TURN server lets nobody through", async (t) => {
    const options = ["--denied-peer-ip=0.0.0.0-255.255.255.255"];
    const coturn = await Coturn.start(t, internet, [internet.server()], options);
    const [one, other] = sites("symmetric", "symmetric");
    const servers = ice(turn(coturn.ipv4));
    const first = await host(t, one, url, ...servers);
    await reportOf(joiner(t, other, first.code, url, ...servers), "relay_useless");
  });
});
