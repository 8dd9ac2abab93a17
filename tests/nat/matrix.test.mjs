// Every kind of site as the host's and as the joiner's: what connects, by which servers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PARALLEL, coturn, hosts, internet, joiners, matrix, url } from "./matrix.mjs";
import { connected, failsInIce, host, ice, joiner, until } from "./nodes.mjs";
import * as theory from "./theory.mjs";

/** One cell: a host and a joiner with these servers; both as arguments. */
const start = async (t, one, other, [hostIce, joinIce]) => {
  const first = await host(t, one, url.ipv4, ...hostIce);
  const second = joiner(t, other, first.code, url.ipv4, ...joinIce);
  return [first, second];
};

/** The verdict of a joiner that has joined or ended. */
const assertVerdict = async (joining, ...expected) => {
  const report = await joining.event("connect_report");
  assert.ok(expected.includes(report.verdict), `${expected}: ${JSON.stringify(report, null, 1)}`);
  return report;
};

matrix("with no server", async (t, hosting, joining) => {
  const [first, second] = await start(t, hosts[hosting], joiners[joining], [ice(), ice()]);
  if (theory.WITH_NOTHING[hosting][joining]) {
    await connected(first, second);
    await assertVerdict(second, "connected");
  } else {
    await failsInIce(second);
    await assertVerdict(second, theory.verdictWithNothing(hosting, joining));
  }
});

matrix("with two STUN servers", async (t, hosting, joining) => {
  const servers = ice(...coturn.stuns);
  const [first, second] = await start(t, hosts[hosting], joiners[joining], [servers, servers]);
  if (theory.WITH_STUN[hosting][joining]) {
    await connected(first, second);
    await assertVerdict(second, "connected");
  } else {
    await failsInIce(second);
    const report = await assertVerdict(second, theory.verdictWithStun(hosting, joining));
    assert.equal(report?.nat.local ?? theory.NAT[joining], theory.NAT[joining]);
  }
});

matrix("with TURN", async (t, hosting, joining) => {
  // Where UDP is blocked, one of the streams does it; over TLS for hosts and TCP for joiners.
  const hostIce = ice(...coturn.stuns, coturn.turn("udp"), coturn.turn("tls"));
  const joinIce = ice(...coturn.stuns, coturn.turn("udp"), coturn.turn("tcp"));
  const sites = [hosts[hosting], joiners[joining]];
  const [first, second] = await start(t, ...sites, [hostIce, joinIce]);
  await connected(first, second);
  // Where there is a direct path, the relay may still be found first.
  const either = theory.needsRelay(hosting, joining) ? [] : ["connected"];
  const report = await assertVerdict(second, "connected_by_relay", ...either);
  if (either.length > 0 && report) t.diagnostic(`there is a direct path; ${report.verdict}`);
});

// What only one side has a relay for. A relay is an open node that can be asked for by name.
const ONE_SIDED = [
  ["symmetric", "symmetric"],
  ["symmetric", "port-restricted"],
  ["port-restricted", "symmetric"],
  ["blocked", "open"],
  ["open", "blocked"],
];

test("with TURN at one side alone", { concurrency: PARALLEL }, async (t) => {
  const cells = ONE_SIDED.flatMap((pair) => ["host", "joiner"].map((who) => [...pair, who]));
  await Promise.all(
    cells.map(([hosting, joining, who]) => {
      // Where UDP is blocked, STUN is no help to meet the other's relay.
      const name = `host ${hosting}, joiner ${joining}; TURN for the ${who}`;
      return t.test(name, async (each) => {
        const stun = ice(...coturn.stuns);
        const turn = ice(...coturn.stuns, coturn.turn("udp"), coturn.turn("tcp"));
        const servers = who === "host" ? [turn, stun] : [stun, turn];
        const sites = [hosts[hosting], joiners[joining]];
        const [first, second] = await start(each, ...sites, servers);
        const has = who === "host" ? hosting : joining;
        const hasNot = who === "host" ? joining : hosting;
        if (hasNot === "blocked") {
          await failsInIce(second);
          return;
        }
        await connected(first, second);
        assert.ok(has, "the side with the relay");
        await assertVerdict(second, "connected_by_relay", "connected");
      });
    }),
  );
});

// --- IPv6

/** Sites with IPv6 beside IPv4 or alone; its gateways let only replies in. */
const site6 = (kind, options = {}) => internet.site(kind, { ipv6: true, ...options });
const only6 = (kind) => site6(kind, { ipv4: false });

test("IPv6", { concurrency: PARALLEL }, async (t) => {
  const both = (servers) => [servers, servers];
  const connects = (name, sites, servers, verdicts = ["connected"]) =>
    t.test(name, async (each) => {
      const [one, other] = sites();
      const at = one.public ? url.ipv4 : url.ipv6;
      const first = await host(each, one, at, ...servers()[0]);
      const reach = other.public ? url.ipv4 : url.ipv6;
      const second = joiner(each, other, first.code, reach, ...servers()[1]);
      await connected(first, second);
      await assertVerdict(second, ...verdicts);
    });
  const fails = (name, sites, servers, verdict) =>
    t.test(name, async (each) => {
      const [one, other] = sites();
      const first = await host(each, one, one.public ? url.ipv4 : url.ipv6, ...servers()[0]);
      const reach = other.public ? url.ipv4 : url.ipv6;
      const second = joiner(each, other, first.code, reach, ...servers()[1]);
      await failsInIce(second);
      if (verdict) await assertVerdict(second, verdict);
    });
  const none = () => both(ice());
  const stun = () => both(ice(...coturn.stuns));
  const turn = () => both(ice(...coturn.stuns, coturn.turn("udp")));
  await Promise.all([
    connects(
      "two symmetric NATs, but both have IPv6 beside it: no server is needed",
      () => [site6("symmetric"), site6("symmetric")],
      none,
    ),
    connects(
      "IPv6 alone at both sides, behind firewalls",
      () => [only6("firewall"), only6("firewall")],
      none,
    ),
    connects(
      "IPv6 alone, open, and IPv6 beside a blocked IPv4 is blocked, too: through TURN over TCP",
      () => [only6("open"), site6("blocked")],
      () => both(ice(...coturn.stuns, coturn.turn("tcp"), coturn.turn6("udp"), coturn.turn6("tcp"))),
      ["connected", "connected_by_relay"],
    ),
    connects(
      "symmetric with IPv6 beside it, and IPv6 alone",
      () => [site6("symmetric"), only6("firewall")],
      none,
    ),
    connects(
      "IPv4 alone and both families, port-restricted, with STUN",
      () => [internet.site("port-restricted"), site6("port-restricted")],
      stun,
    ),
    fails(
      "IPv4 alone and IPv6 alone cannot meet by STUN",
      () => [internet.site("open"), only6("open")],
      () => both(ice(...coturn.stuns, coturn.stun6)),
      null,
    ),
    connects(
      "IPv4 alone and IPv6 alone meet at a relay",
      () => [internet.site("port-restricted"), only6("firewall")],
      () => [ice(coturn.stun, coturn.turn("udp")), ice(coturn.stun6, coturn.turn6("udp"))],
      ["connected_by_relay"],
    ),
    connects(
      "IPv6 alone at both sides, with TURN over IPv6 and nothing else allowed",
      () => [only6("firewall"), only6("firewall")],
      () => both([...ice(coturn.turn6("udp")), "--ice-policy", "relay-only"]),
      ["connected_by_relay"],
    ),
    t.test("two symmetric NATs with IPv6 beside them do not stay with the relay that they have", async (each) => {
      const sites = [site6("symmetric"), site6("symmetric")];
      const [first, second] = await start(each, ...sites, turn());
      // The relay may be found first: then the direct path is tried 5 s later.
      await connected(first, second);
      sites[1].count();
      let number = 0;
      const say = async () => {
        number += 1;
        second.command(`broadcast ${number}`);
        await first.node.event("message", { with: { text: `${number}` } });
      };
      const packets = () => sites[1].counted().out6.packets;
      // One by one, so that each has a packet of its own.
      await until("20 messages in a row go by IPv6", 30_000, async () => {
        for (let row = 0; row < 20; row += 1) {
          const before = packets();
          await say();
          if (packets() === before) return false;
        }
        return true;
      });
    }),
  ]);
});

// --- Places that are hard in another way

test("hard places", { concurrency: PARALLEL }, async (t) => {
  const stun = () => [ice(...coturn.stuns), ice(...coturn.stuns)];
  await Promise.all([
    t.test("both behind one symmetric NAT: their own network is enough", async (each) => {
      const site = internet.site("symmetric");
      const [first, second] = await start(each, site, site, [ice(), ice()]);
      await connected(first, second);
    }),
    t.test("two homes that have the same private addresses", async (each) => {
      const homes = ["port-restricted", "full cone"].map((kind) =>
        internet.site(kind, { lan: "192.168.1" }),
      );
      assert.equal(homes[0].address, homes[1].address);
      const [first, second] = await start(each, ...homes, stun());
      await connected(first, second);
      await assertVerdict(second, "connected");
    }),
    t.test("nothing but the relay is shown with --ice-policy relay-only", async (each) => {
      const servers = ice(...coturn.stuns, coturn.turn("udp"));
      const args = [...servers, "--ice-policy", "relay-only", "--verbose"];
      const sites = [hosts.open, joiners.open];
      const [first, second] = await start(each, ...sites, [args, args]);
      await connected(first, second);
      await assertVerdict(second, "connected_by_relay");
      for (const { events } of [first.node, second]) {
        const kinds = events.filter((each) => each.kind === "candidate").map((each) => each.type);
        assert.ok(kinds.length > 0, "candidates are reported");
        assert.deepEqual([...new Set(kinds)], ["relay"]);
      }
    }),
  ]);
});
