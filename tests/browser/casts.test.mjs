// The scripts that run on all drivers, in every cast of pages of both browsers and processes.

import { after, describe, test } from "node:test";

import { NativeNode } from "../scripts/native.mjs";
import { PageNode } from "../scripts/page.mjs";
import { play, scripts } from "../scripts/script.mjs";
import { Server } from "../scripts/server.mjs";
import { browseFirefox } from "./firefox.mjs";
import { HIDING, browse, serve } from "./pages.mjs";

/** A Chromium for all tests: a page has a profile of its own. Firefox does not bear pages that come while others go. */
const begun = new Map();
const ends = [];
after(() => Promise.all(ends.map((end) => end())));

const BROWSERS = {
  Chromium: (t, hiding) => {
    if (!begun.has(hiding)) begun.set(hiding, browse({ after: (end) => ends.push(end) }, hiding));
    return begun.get(hiding);
  },
  Firefox: browseFirefox,
};

/** Which nodes are what: `a` is the first that hosts. */
const CASTS = {
  "pages": { a: "Chromium", others: "Chromium" },
  "a page and processes": { a: "Chromium", others: "process" },
  "a process and pages": { a: "process", others: "Chromium" },
  "Firefox pages": { a: "Firefox", others: "Firefox" },
  "a Firefox page and processes": { a: "Firefox", others: "process" },
  "a process and Firefox pages": { a: "process", others: "Firefox" },
  "a Firefox page and Chromium pages": { a: "Firefox", others: "Chromium" },
  "a Chromium page and Firefox pages": { a: "Chromium", others: "Firefox" },
};

const perform = async (t, script, cast, hiding) => {
  const [server, origin] = [await Server.begin(t), await serve(t)];
  const browsers = {};
  for (const kind of new Set([cast.a, cast.others])) {
    browsers[kind] = await BROWSERS[kind]?.(t, hiding);
  }
  const make = (name) => {
    const browser = browsers[name === "a" ? cast.a : cast.others];
    return browser
      ? new PageNode(t, browser, origin, name, server.url)
      : new NativeNode(t, name, server.url);
  };
  await play(script, make, server);
};

// Two at a time: they wait more than they do.
describe("scripts", { concurrency: 2 }, () => {
  for (const script of scripts()) {
    for (const [name, cast] of Object.entries(CASTS)) {
      const firefox = [cast.a, cast.others].includes("Firefox");
      // Nothing makes a page of Firefox crash from outside.
      if (firefox && script.steps.some(({ verb }) => verb === "crash")) continue;
      // For Chromium `networks.test.mjs` has both.
      const hidings = firefox && script.name === "star.txt" ? Object.keys(HIDING) : ["shown"];
      for (const hiding of hidings) {
        test(`${script.name} with ${name}, addresses ${hiding}`, (t) => perform(t, script, cast, hiding));
      }
    }
  }
});
