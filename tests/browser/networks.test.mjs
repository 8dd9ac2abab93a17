// Networks of pages and native nodes, in every mixture.

import assert from "node:assert/strict";
import { test } from "node:test";

import { freePort, host, isListening, join, program, until, Process } from "../interop/processes.mjs";
import { HIDING, Page, browse, serve } from "./pages.mjs";

/** `wattle serve` on a free port. */
const signaling = async (t) => {
  const port = await freePort();
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--json"];
  new Process(t, "wattle serve", program("WATTLE"), args);
  await until("wattle serve listens", 10_000, () => isListening(port));
  return `ws://127.0.0.1:${port}/peerjs`;
};

for (const hiding of Object.keys(HIDING)) {
  test(`two pages, addresses ${hiding}`, async (t) => {
    const [signalingUrl, origin, browser] = [
      await signaling(t),
      await serve(t),
      await browse(t, hiding),
    ];
    const first = await (await Page.open(t, browser, origin, "host")).host({ signalingUrl });
    const second = await Page.open(t, browser, origin, "joiner");
    await second.join(first.code, { signalingUrl });
    await first.event("nodejoined", { with: { node: second.id } });
    await first.call("broadcast", { hello: "there" });
    await second.event("message", { with: { from: first.id, payload: { hello: "there" } } });
    await second.call("sendTo", first.id, [1, 2]);
    await first.event("message", { with: { from: second.id, payload: [1, 2] } });
    await second.call("broadcastState", { x: 1 });
    await first.event("state", { with: { from: second.id, payload: { x: 1 } } });
    const mark = first.mark;
    await second.call("leave");
    await first.event("nodeleft", { with: { node: second.id, reason: "left" }, after: mark });
    console.log(JSON.stringify(second.all("joined", "connectreport")));
  });
}
