// Links that go dark and come back, and nodes whose address changes: nobody leaves, and ten thousand
// messages each way arrive once and in order.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet } from "./internet.mjs";
import { connected, host, ice, joiner, scope, signaling, telling } from "./nodes.mjs";
import { numbers } from "./numbers.mjs";
import { sleep } from "../interop/processes.mjs";

const own = scope();
let internet;
let url;
let coturn;

before(async () => {
  internet = new Internet();
  url = (await signaling(own, internet)).ipv4;
  coturn = await Coturn.start(own, internet, [internet.server(), internet.server()]);
});

after(async () => {
  await own.end();
  internet.remove();
});

const COUNT = 10_000;

// So soon after the path is back messages flow, which in virtual time is asserted to the millisecond, and so much
// longer a busy machine may take. (SCTP left to itself would be silent for as long as the darkness was.)
const [SOON, BUSY] = [2000, 5000];

/**
 * Two nodes at these sites talk both ways for `seconds`; in the middle of it `trouble` happens, which
 * ends with the return of a path. `isDark`: until then no message can arrive.
 */
const survives = async (t, { sites, servers, seconds, trouble, isDark = false, args = [] }) => {
  const first = await host(t, sites[0], url, ...servers, ...args);
  const second = joiner(t, sites[1], first.code, url, ...servers, ...args);
  await connected(first, second);
  const perSecond = COUNT / seconds;
  const runs = [
    numbers(first.node, second, { count: COUNT, perSecond, ahead: COUNT }),
    numbers(second, first.node, { count: COUNT, perSecond, ahead: COUNT }),
  ];
  // Whichever fails first fails the test.
  const all = Promise.all(runs);
  all.catch(() => {});
  await sleep(2000);
  await telling(t, { host: first.node, joiner: second }, async () => {
    const begin = Date.now();
    await trouble();
    const back = Date.now();
    const [toJoiner, toHost] = await all;
    const ways = { "to the joiner": toJoiner, "to the host": toHost };
    for (const [name, { sent, arrived: at }] of Object.entries(ways)) {
      const during = at.filter((time, n) => sent[n] > begin && time < back).length;
      if (isDark) assert.equal(during, 0, `${name}: ${during} messages passed in the dark`);
      // The longest that nothing arrived since the path is back: it may break once more.
      const pauses = at.map((time, n) => time - Math.max(back, at[n - 1] ?? time));
      const longest = Math.max(...pauses);
      t.diagnostic(`${name}: the longest pause since the path is back: ${longest} ms`);
      assert.ok(longest <= SOON + BUSY, `${name}: a pause of ${longest} ms since the path is back`);
    }
    for (const node of [first.node, second]) {
      assert.deepEqual(node.all("node_left", "host_lost", "error", "ended"), []);
    }
  });
  return [first.node, second];
};

/** The way to and from a site is dark for so long: UDP alone, or everything. */
const dark = async (site, seconds, { all = false } = {}) => {
  const what = all ? "drop" : "meta l4proto udp drop";
  site.gateway.rules("dark", `chain forward { type filter hook forward priority -10; ${what}; }`);
  await sleep(seconds * 1000);
  site.gateway.rules("dark", null);
};

const stun = () => ice(...coturn.stuns);

test("without trouble", async (t) => {
  const sites = [internet.site("open"), internet.site("open")];
  await survives(t, { sites, servers: ice(), seconds: 5, trouble: () => sleep(10) });
});

test("darkness and other trouble", { concurrency: 3 }, async (t) => {
  const cases = [];
  const add = (name, run) => cases.push(t.test(name, run));
  for (const seconds of [1, 5, 15]) {
    add(`${seconds} s of darkness, open and firewall`, async (t) => {
      const sites = [internet.site("open"), internet.site("firewall")];
      const trouble = () => dark(sites[1], seconds);
      await survives(t, { sites, servers: ice(), seconds: seconds + 6, trouble, isDark: true });
    });
    add(`${seconds} s of darkness, port-restricted both`, async (t) => {
      const sites = [internet.site("port-restricted"), internet.site("port-restricted")];
      const trouble = () => dark(sites[1], seconds, { all: true });
      await survives(t, { sites, servers: stun(), seconds: seconds + 6, trouble, isDark: true });
    });
    add(`${seconds} s of darkness, through a relay`, async (t) => {
      const sites = [internet.site("symmetric"), internet.site("symmetric")];
      const trouble = () => dark(sites[1], seconds, { all: true });
      const servers = ice(coturn.turn("udp"));
      await survives(t, { sites, servers, seconds: seconds + 6, trouble, isDark: true });
    });
  }

  for (const [side, name] of [
    [0, "host"],
    [1, "joiner"],
  ]) {
    const kinds = ["port-restricted", "port-restricted"];
    add(`the ${name}'s NAT forgets everything and takes other ports`, async (t) => {
      const sites = kinds.map((kind) => internet.site(kind));
      const trouble = () => sites[side].rebind();
      await survives(t, { sites, servers: stun(), seconds: 12, trouble });
    });
    add(`the ${name}'s NAT forgets everything, and the other is open`, async (t) => {
      const sites = ["open", "open"].map((kind) => internet.site(kind));
      sites[side] = internet.site("port-restricted");
      const trouble = () => sites[side].rebind();
      await survives(t, { sites, servers: ice(), seconds: 12, trouble });
    });
    add(`the ${name} moves to another network`, async (t) => {
      const sites = kinds.map((kind) => internet.site(kind));
      const trouble = () => sites[side].move("port-restricted");
      await survives(t, { sites, servers: stun(), seconds: 10, trouble });
    });
    add(`the ${name} moves to another network, symmetric, with a relay`, async (t) => {
      const sites = kinds.map((kind) => internet.site(kind));
      const servers = ice(...coturn.stuns, coturn.turn("udp"));
      const trouble = () => sites[side].move("symmetric");
      await survives(t, { sites, servers, seconds: 10, trouble });
    });
  }
  add("the joiner moves without NATs and servers", async (t) => {
    const sites = [internet.site("open"), internet.site("firewall")];
    await survives(t, { sites, servers: ice(), seconds: 10, trouble: () => sites[1].move("firewall") });
  });
  await Promise.all(cases);
});

// Nothing is sent but what keeps the link alive; a NAT that forgets after 6 s must not.
test("an idle link outlives a NAT with a short memory", async (t) => {
  const sites = [internet.site("port-restricted"), internet.site("port-restricted")];
  for (const { gateway } of sites) {
    gateway.run(`sysctl -qw net.netfilter.nf_conntrack_udp_timeout=6
      sysctl -qw net.netfilter.nf_conntrack_udp_timeout_stream=6`);
  }
  const first = await host(t, sites[0], url, ...stun());
  const second = joiner(t, sites[1], first.code, url, ...stun());
  await connected(first, second);
  await sleep(20_000);
  for (const node of [first.node, second]) {
    assert.deepEqual(node.all("node_lost", "node_left", "error", "ended"), []);
    // A busy machine may keep one of them silent for once; a NAT that forgets does so every 6 s.
    assert.ok(node.all("node_suspect").length <= 1, JSON.stringify(node.all("node_suspect")));
  }
  // A host that has waited can still be joined: its binding at the STUN server is alive, too.
  const late = joiner(t, internet.site("port-restricted"), first.code, url, ...stun());
  await late.event("joined");
});
