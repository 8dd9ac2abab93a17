// The scripts that run on all drivers: here with pages alone, and with pages and processes.

import { test } from "node:test";

import { NativeNode } from "../scripts/native.mjs";
import { PageNode } from "../scripts/page.mjs";
import { play, scripts } from "../scripts/script.mjs";
import { Server } from "../scripts/server.mjs";
import { browse, serve } from "./pages.mjs";

/** Which nodes are pages. */
const CASTS = {
  "pages": () => true,
  "a page and processes": (name) => name === "a",
  "a process and pages": (name) => name !== "a",
};

for (const script of scripts()) {
  for (const [cast, isPage] of Object.entries(CASTS)) {
    test(`${script.name} with ${cast}`, async (t) => {
      const [server, origin, browser] = [await Server.begin(t), await serve(t), await browse(t)];
      const make = (name) =>
        isPage(name)
          ? new PageNode(t, browser, origin, name, server.url)
          : new NativeNode(t, name, server.url);
      await play(script, make, server);
    });
  }
}
