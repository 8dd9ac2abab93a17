// The tables of theory.mjs hold in this internet, shown without wattle: two sockets that know each
// other's addresses, and send to all of them, meet where the table says so, and nowhere else.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet, KINDS } from "./internet.mjs";
import { scope } from "./nodes.mjs";
import { WITH_NOTHING, WITH_STUN } from "./theory.mjs";

const own = scope();
let internet;
let coturn;
const sides = [{}, {}];

before(async () => {
  internet = new Internet();
  coturn = await Coturn.start(own, internet, [internet.server(), internet.server()]);
  for (const side of sides) {
    for (const kind of KINDS) {
      const site = internet.site(kind);
      side[kind] = { site, probe: site.node.probe(own) };
    }
  }
});

after(async () => {
  await own.end();
  internet.remove();
});

/** How long to wait for what must not come, and for what must, in milliseconds. */
const [SHORT, LONG] = [1_500, 20_000];

/** A new socket there, and the addresses that it knows it by. */
const socket = async ({ site, probe }, name, withStun) => {
  const port = await probe.call("bind", name, site.address);
  const addresses = [`${site.address}:${port}`];
  if (!withStun) return addresses;
  for (const { ipv4 } of coturn.addresses) {
    const mapped = await probe.call("mapped", name, ipv4, 3478, site.kind === "blocked" ? SHORT : LONG);
    if (mapped) addresses.push(mapped);
  }
  return addresses;
};

for (const [what, table, withStun] of [
  ["no server", WITH_NOTHING, false],
  ["two STUN servers", WITH_STUN, true],
]) {
  test(`who meets with ${what}`, async () => {
    const cells = KINDS.flatMap((one) => KINDS.map((other) => [one, other]));
    const met = await Promise.all(
      cells.map(async ([one, other]) => {
        const name = `${what}: ${one}, ${other}`;
        const ends = [sides[0][one], sides[1][other]];
        const [a, b] = await Promise.all(ends.map((end) => socket(end, name, withStun)));
        const within = table[one][other] ? LONG : SHORT;
        const [to, fro] = await Promise.all([
          ends[0].probe.call("punch", name, name, b, within),
          ends[1].probe.call("punch", name, name, a, within),
        ]);
        for (const { probe } of ends) await probe.call("close", name);
        assert.equal(to, fro, `${name}: both or none`);
        return [name, to];
      }),
    );
    const expected = cells.map(([one, other]) => [`${what}: ${one}, ${other}`, table[one][other]]);
    assert.deepEqual(met, expected);
  });
}
