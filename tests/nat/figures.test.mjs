// What STUN and TURN cost, counted by the joiner's gateway: packets until the joiner is in, and bytes
// per relayed message.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet } from "./internet.mjs";
import { connected, host, ice, joiner, scope, signaling } from "./nodes.mjs";
import { numbers } from "./numbers.mjs";

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

/** Connects a host at an open site with a joiner behind a NAT. */
const start = async (t, hostIce, joinIce) => {
  const site = internet.site("port-restricted");
  site.count();
  const first = await host(t, internet.site("open"), url, ...hostIce);
  const second = joiner(t, site, first.code, url, ...joinIce);
  await second.event("joined");
  const joined = site.counted();
  await connected(first, second);
  return { site, first, second, joined };
};

const COUNT = 101;

/**
 * The UDP bytes, IP headers included, that one message costs the joiner who sends it: one after the other, and the
 * median, as now and then something else is sent meanwhile.
 */
const bytesPerMessage = async ({ site, first, second }) => {
  const bytes = () => site.counted().out.bytes;
  const costs = [];
  for (let number = 0; number < COUNT; number += 1) {
    const before = bytes();
    await numbers(second, first.node, { count: 1, perSecond: 100 });
    costs.push(bytes() - before);
  }
  return costs.sort((a, b) => a - b)[(COUNT - 1) / 2];
};

/** What is sent again, and asked again, where an answer takes some seconds. */
const REPEATED = 100;

test("packets until the joiner is in", async (t) => {
  const found = {};
  for (const [name, servers] of Object.entries({
    "no server": ice(),
    "two STUN servers": ice(...coturn.stuns),
    "two STUN servers and TURN over UDP": ice(...coturn.stuns, coturn.turn("udp")),
  })) {
    await t.test(name, async (each) => {
      const { joined } = await start(each, servers, servers);
      found[name] = joined.out.packets;
      each.diagnostic(`UDP packets out ${joined.out.packets}, in ${joined.in.packets}`);
    });
  }
  const [none, stun, turn] = Object.values(found);
  // `tests/tests/turn.rs` counts them in virtual time; a busy machine repeats some.
  assert.ok(stun <= none + 8 + REPEATED, `${stun} with STUN, ${none} without`);
  assert.ok(turn <= stun + 20 + REPEATED, `${turn} with TURN, ${stun} without`);
});

test("bytes per relayed message", async (t) => {
  let direct;
  let relayed;
  await t.test("direct", async (each) => {
    direct = await bytesPerMessage(await start(each, ice(), ice()));
    each.diagnostic(`${direct} bytes for a message of a few bytes`);
  });
  await t.test("relayed", async (each) => {
    const joinIce = [...ice(coturn.turn("udp")), "--ice-policy", "relay-only"];
    relayed = await bytesPerMessage(await start(each, ice(), joinIce));
    each.diagnostic(`${relayed} bytes for a message of a few bytes`);
  });
  // ChannelData has 4 bytes; a packet that only acknowledges has them, too.
  assert.ok(relayed - direct <= 16, `${relayed} relayed, ${direct} direct`);
});
