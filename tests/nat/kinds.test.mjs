// Whether the sites are what they say, shown without wattle: how a gateway maps the ports of its
// node, what it lets in, and that nothing can leave the sandbox.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet, KINDS } from "./internet.mjs";
import { until } from "../interop/processes.mjs";

let internet;
let servers;
let coturn;
const coturnEnds = [];

before(async () => {
  internet = new Internet();
  servers = [internet.server(), internet.server()];
  coturn = await Coturn.start({ after: (end) => coturnEnds.push(end) }, internet, servers);
});

after(async () => {
  for (const end of coturnEnds) await end();
  internet.remove();
});

// What a node that asks two STUN servers learns, and who can then reach it.
const EXPECTED = {
  open: { mapping: "none", lets: "anybody" },
  firewall: { mapping: "none", lets: "the address and port that was asked" },
  "full cone": { mapping: "one for all", lets: "anybody" },
  "port-restricted": { mapping: "one for all", lets: "the address and port that was asked" },
  symmetric: { mapping: "one each", lets: "the address and port that was asked" },
  blocked: { mapping: "no answer", lets: "nobody" },
};

const split = (address) => {
  const at = address.lastIndexOf(":");
  return [address.slice(0, at).replace(/[[\]]/g, ""), Number(address.slice(at + 1))];
};

/** How long to wait for what must not come, and for what must, in milliseconds. */
const [SHORT, LONG] = [300, 20_000];

/** Asks both servers from one socket, and names the mapping. */
const mappingOf = async (node, own, kind) => {
  const port = await node.call("bind", "s", own);
  const [first, second] = servers.map((server) => (own.includes(":") ? server.ipv6 : server.ipv4));
  const within = kind === "blocked" ? SHORT : LONG;
  const one = await node.call("mapped", "s", first, 3478, within);
  const two = await node.call("mapped", "s", second, 3478, within);
  let mapping = one === two ? "one for all" : "one each";
  if (!one && !two) mapping = "no answer";
  else if (one === two && split(one)[1] === port && split(one)[0] === own) mapping = "none";
  return { mapping, one, two };
};

/** Who gets through to a public address whose node has just asked `asked`; `expected` is waited for. */
const letsIn = async (t, node, address, asked, other, expected) => {
  const [to, port] = split(address);
  const middle = internet.net.probe(t);
  const [askedAddress, askedPort] = asked;
  const senders = [
    ["anybody", other, 0],
    ["the address that was asked", askedAddress, 0],
    ["the address and port that was asked", askedAddress, askedPort],
  ];
  for (const [who, from, fromPort] of senders) {
    await middle.call("bind", who, from, fromPort);
    await middle.call("send", who, who, to, port);
    if (await node.call("receive", "s", who, who === expected ? LONG : SHORT)) return who;
  }
  return "nobody";
};

for (const kind of KINDS) {
  test(`a site of kind '${kind}'`, async (t) => {
    const site = internet.site(kind);
    const node = site.node.probe(t);
    const { mapping, one, two } = await mappingOf(node, site.address, kind);
    assert.equal(mapping, EXPECTED[kind].mapping, `${one} and ${two}`);
    if (one) assert.equal(split(one)[0], site.public);

    // A third address, on which nothing else listens, is asked by the same socket.
    const { ipv4: asked } = internet.server();
    const { ipv4: other } = internet.server();
    const middle = internet.net.probe(t);
    const askedPort = await middle.call("bind", "asked", asked);
    await node.call("send", "s", "hello", asked, askedPort);
    const seen = await middle.call("receive", "asked", "hello", kind === "blocked" ? SHORT : LONG);
    if (kind === "blocked") {
      assert.equal(seen, null, "no UDP leaves");
      const port = await internet.net.probe(t).call("listen", asked);
      await until("TCP leaves", LONG, () => node.call("tcp", asked, port));
      return;
    }
    assert.ok(seen, "UDP leaves");
    assert.equal(seen === one, mapping !== "one each", `${seen}, and ${one} for the STUN server`);

    // The sender of "the address and port that was asked" must be the socket that was asked.
    await middle.call("close", "asked");
    const lets = await letsIn(t, node, seen, [asked, askedPort], other, EXPECTED[kind].lets);
    assert.equal(lets, EXPECTED[kind].lets);
  });
}

for (const kind of KINDS) {
  test(`IPv6 of a site of kind '${kind}'`, async (t) => {
    const site = internet.site(kind, { ipv6: true });
    const node = site.node.probe(t);
    const { mapping, one } = await mappingOf(node, site.ipv6, kind);
    assert.equal(mapping, kind === "blocked" ? "no answer" : "none", `${one}`);
    if (kind === "blocked") return;
    const { ipv6: asked } = internet.server();
    const { ipv6: other } = internet.server();
    const middle = internet.net.probe(t);
    const askedPort = await middle.call("bind", "asked", asked);
    await node.call("send", "s", "hello", asked, askedPort);
    const seen = await middle.call("receive", "asked", "hello", LONG);
    assert.ok(seen, "UDP leaves");
    await middle.call("close", "asked");
    const expected = kind === "open" ? "anybody" : "the address and port that was asked";
    const lets = await letsIn(t, node, one, [asked, askedPort], other, expected);
    assert.equal(lets, expected);
  });
}

for (const kind of ["full cone", "port-restricted"]) {
  test(`a packet that comes too early does not move the port of '${kind}'`, async (t) => {
    const site = internet.site(kind);
    const node = site.node.probe(t);
    const { one } = await mappingOf(node, site.address);
    const [address, port] = split(one);
    const middle = internet.net.probe(t);
    const { ipv4: peer } = internet.server();
    const peerPort = await middle.call("bind", "peer", peer);
    await middle.call("send", "peer", "early", address, port);
    const arrived = await node.call("receive", "s", "early", kind === "full cone" ? LONG : SHORT);
    assert.equal(arrived !== null, kind === "full cone");
    await node.call("send", "s", "out", peer, peerPort);
    assert.equal(await middle.call("receive", "peer", "out", LONG), one);
    await middle.call("send", "peer", "back", address, port);
    assert.ok(await node.call("receive", "s", "back", LONG));
  });
}

test("a NAT that is rebound maps to another port, and still to one for all", async (t) => {
  const site = internet.site("port-restricted");
  const node = site.node.probe(t);
  const { one: before } = await mappingOf(node, site.address);
  for (const _time of ["once", "again"]) {
    site.rebind();
    const seen = [];
    for (const { ipv4 } of servers) seen.push(await node.call("mapped", "s", ipv4, 3478, LONG));
    assert.equal(seen[0], seen[1]);
    assert.notEqual(seen[0], before);
    assert.equal(split(seen[0])[0], site.public);
    // What still comes for the old port is nobody's.
    const middle = internet.net.probe(t);
    await middle.call("bind", "old", servers[0].ipv4);
    await middle.call("send", "old", "late", ...split(before));
    assert.equal(await node.call("receive", "s", "late", SHORT), null);
  }
});

test("a node that moves has another address, and its old one is gone", async (t) => {
  const site = internet.site("port-restricted");
  const moved = site.move("firewall");
  const node = site.node.probe(t);
  await assert.rejects(node.call("bind", "s", site.address), /EADDRNOTAVAIL/);
  const { one, mapping } = await mappingOf(node, moved.address);
  assert.equal(mapping, "none");
  assert.equal(split(one)[0], moved.public);
});

test("two sites with the same private addresses", async (t) => {
  const [a, b] = ["a", "b"].map(() => internet.site("full cone", { lan: "192.168.1" }));
  assert.equal(a.address, b.address);
  const [one, other] = [a.node.probe(t), b.node.probe(t)];
  const { one: first } = await mappingOf(one, a.address);
  const { one: second } = await mappingOf(other, b.address);
  assert.notEqual(first, second);
  await one.call("send", "s", "across", ...split(second));
  assert.equal(await other.call("receive", "s", "across", LONG), first);
});

test("nothing leaves the sandbox", async (t) => {
  internet.site("open", { ipv6: true });
  const names = new Set(internet.places.map(({ namespace }) => namespace));
  for (const place of internet.places) {
    for (const link of JSON.parse(place.run("ip -json link"))) {
      if (link.ifname === "lo") continue;
      // Both ends of every wire are in namespaces of this internet.
      assert.equal(link.link_type, "ether", link.ifname);
      const { link_netnsid: far } = link;
      assert.notEqual(far, undefined, `${place.namespace} ${link.ifname} ends in a namespace`);
      const ids = JSON.parse(place.run("ip -json netns list-id"));
      const end = ids.find((each) => each.nsid === far);
      assert.ok(names.has(end?.name), `${place.namespace} ${link.ifname}: ${JSON.stringify(end)}`);
    }
  }
  // Everybody's default route ends in the middle, and what is not for anybody there is lost.
  const outside = ["8.8.8.8", "1.1.1.1", "10.0.0.1", "169.254.169.254", "2606:4700::1111"];
  for (const address of outside) {
    assert.equal(JSON.parse(internet.net.run(`ip -json route get ${address}`))[0].dev, "nowhere");
  }
});
