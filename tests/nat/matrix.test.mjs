// Every kind of site as the host's and as the joiner's: what connects, by which servers.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Internet, KINDS } from "./internet.mjs";
import { connected, failsInIce, host, ice, joiner, scope, signaling } from "./nodes.mjs";
import { WITH_NOTHING } from "./theory.mjs";

const own = scope();
let internet;
let url;
const hosts = {};
const joiners = {};

before(async () => {
  internet = new Internet();
  for (const kind of KINDS) {
    hosts[kind] = internet.site(kind);
    joiners[kind] = internet.site(kind);
  }
  url = (await signaling(own, internet)).ipv4;
});

after(async () => {
  await own.end();
  internet.remove();
});

const PARALLEL = 8;

/** All 36 cells: a test each, some at a time. */
const matrix = (name, cell) =>
  test(name, { concurrency: PARALLEL }, async (t) => {
    const cells = KINDS.flatMap((one) => KINDS.map((other) => [one, other]));
    await Promise.all(
      cells.map(([hosting, joining]) =>
        t.test(`host ${hosting}, joiner ${joining}`, (each) => cell(each, hosting, joining)),
      ),
    );
  });

matrix("with no server", async (t, hosting, joining) => {
  const first = await host(t, hosts[hosting], url, ...ice());
  const second = joiner(t, joiners[joining], first.code, url, ...ice());
  if (WITH_NOTHING[hosting][joining]) await connected(first, second);
  else await failsInIce(second);
});
