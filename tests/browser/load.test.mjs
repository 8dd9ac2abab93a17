// What a page does before it connects.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Page, browse, serve } from "./pages.mjs";

test("loading connects two nodes within the page, and leaves nothing behind", async (t) => {
  const [origin, browser] = [await serve(t), await browse(t)];
  const { page } = await Page.open(t, browser, origin, "page");
  const { made, events } = await page.evaluate(async () => {
    const made = { sockets: 0, connections: [], offers: 0 };
    const { WebSocket, RTCPeerConnection } = window;
    window.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        made.sockets += 1;
      }
    };
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...given) {
        super(...given);
        made.connections.push(this);
      }
      createOffer() {
        made.offers += 1;
        return super.createOffer();
      }
    };
    const { load } = await import("/pkg/wattle.js");
    await load();
    const loaded = { ...made, connections: made.connections.map((each) => each.connectionState) };
    const { Rehearsal } = await import("/pkg/wattle_wasm.js");
    const [rehearsal, events] = [new Rehearsal(), []];
    for (let event; (event = rehearsal.step()) !== undefined; ) if (event) events.push(event.event);
    return { made: loaded, events };
  });
  assert.deepEqual(made, { sockets: 0, connections: ["closed"], offers: 0 });
  const count = (name) => events.filter((each) => each === name).length;
  const counts = ["network_created", "joined", "node_joined", "message", "state", "node_left", "ended"]
    .map((name) => [name, count(name)]);
  assert.deepEqual(Object.fromEntries(counts), {
    network_created: 1,
    joined: 1,
    node_joined: 2,
    message: 2,
    state: 1,
    node_left: 1,
    ended: 2,
  });
});
