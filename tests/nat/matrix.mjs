// For a file of tests: one internet with a site of every kind at two sides, a signaling server and coturn, from before
// its first test until after its last; and tests by the pair of kinds.

import { after, before, test } from "node:test";

import { Coturn } from "./coturn.mjs";
import { Internet, KINDS } from "./internet.mjs";
import { scope, signaling } from "./nodes.mjs";

export let internet;
export let url;
export let coturn;
/** By kind: the sites of hosts and of joiners. */
export let hosts;
export let joiners;

const own = scope();

before(async () => {
  internet = new Internet();
  hosts = internet.sites();
  joiners = internet.sites();
  url = await signaling(own, internet);
  coturn = await Coturn.start(own, internet, [internet.server(), internet.server()]);
});

after(async () => {
  await own.end();
  internet.remove();
});

/** Most of a cell that cannot connect is waiting. */
export const PARALLEL = 12;

/** All 36 cells, or those that are `wanted`: a test each, some at a time. */
export const matrix = (title, cell, { sides: [one, other] = ["host", "joiner"], wanted = () => true } = {}) =>
  test(title, { concurrency: PARALLEL }, async (t) => {
    const all = KINDS.flatMap((kind) => KINDS.map((its) => [kind, its]));
    const cells = all.filter((kinds) => wanted(...kinds));
    await Promise.all(
      cells.map(([kind, its]) => t.test(`${one} ${kind}, ${other} ${its}`, (each) => cell(each, kind, its))),
    );
  });
