// The scripts that run on all drivers: here with real processes.

import { test } from "node:test";

import { NativeNode } from "../scripts/native.mjs";
import { play, scripts } from "../scripts/script.mjs";
import { Server } from "../scripts/server.mjs";

for (const script of scripts()) {
  test(`${script.name} with processes`, async (t) => {
    const server = await Server.begin(t);
    await play(script, (name) => new NativeNode(t, name, server.url), server);
  });
}
