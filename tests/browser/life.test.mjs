// What happens to pages, and what the others see of it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PeerServer, host, join, sleep, until } from "../interop/processes.mjs";
import { Page, browse, freeze, serve, signaling } from "./pages.mjs";

/** A native host, with a page and a native joiner in its network. */
const three = async (t, ...args) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const { node: first, code } = await host(t, "--signal", url, ...args);
  const page = await Page.open(t, browser, origin, "page");
  await page.join(code, { signalingUrl: url });
  const native = await join(t, "native joiner", code, "--signal", url);
  return { url, origin, browser, first, code, page, native };
};

test("a page that is closed has left, and says so", async (t) => {
  const { first, page, native } = await three(t);
  await page.page.close({ runBeforeUnload: false });
  for (const node of [first, native.node]) {
    // Without a goodbye it would be lost, seconds later.
    const left = await node.event("node_left", { with: { node: page.id } });
    assert.equal(left.reason, "left", "it said goodbye");
  }
});

test("a page that goes elsewhere has left, and says so", async (t) => {
  const { first, page } = await three(t);
  await page.page.goto("about:blank");
  await first.event("node_left", { with: { node: page.id, reason: "left" } });
});

test("a page that hosts and is closed closes its network", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const page = await Page.open(t, browser, origin, "host");
  await page.host({ signalingUrl: url });
  const { node } = await join(t, "native", page.code, "--signal", url);
  const other = await Page.open(t, browser, origin, "joiner");
  await other.join(page.code, { signalingUrl: url });
  await page.close();
  await node.event("ended", { with: { reason: "host_closed" } });
  await other.event("ended", { with: { reason: "host_closed" } });
});

test("a tab that is frozen for a while is back, and nothing is missing", async (t) => {
  const { first, page, native } = await three(t);
  await page.page.evaluate(() => {
    window.longest = 0;
    let before = performance.now();
    setInterval(() => {
      const now = performance.now();
      window.longest = Math.max(window.longest, now - before);
      before = now;
    }, 100);
  });
  const thaw = await freeze(page);
  first.command("broadcast while you slept");
  await sleep(8_000);
  await thaw();
  await until("it was frozen", 10_000, () => page.page.evaluate(() => window.longest > 7_000));
  await page.event("message", { with: { text: "while you slept" } });
  await page.call("broadcast", "good morning");
  await first.event("message", { with: { from: page.id, text: '"good morning"' } });
  await native.node.event("message", { with: { from: page.id, text: '"good morning"' } });
  assert.deepEqual(first.all("node_left"), []);
  assert.deepEqual(page.all("nodeleft", "ended"), []);
});

test("a tab that stays frozen has to go when others wait for it", async (t) => {
  const { first, page, native } = await three(t);
  const thaw = await freeze(page);
  const isFull = () => first.all("error").some(({ kind }) => kind === "full");
  await until("the frozen page's window is full", 30_000, () => {
    if (!isFull()) first.command(`broadcast ${"x".repeat(100_000)}`);
    return isFull();
  });
  const left = { node: page.id, reason: "too_slow" };
  // It cannot say that it takes nothing, so it has four times as long as one that does.
  await first.event("node_left", { with: left, within: 40_000 });
  await native.node.event("node_left", { with: left });
  first.command("broadcast on we go");
  await native.node.event("message", { with: { text: "on we go" } });
  await thaw();
  await page.event("ended", { with: { reason: "too_slow" } });
});

test("a hidden tab with slow timers loses nobody", async (t) => {
  const { first, page } = await three(t);
  // As in a hidden tab, and worse: no timer fires for 30 s. What arrives is still handled.
  const mark = page.mark;
  await page.page.evaluate(() => {
    const { setTimeout } = window;
    window.setTimeout = (call, wait, ...args) => setTimeout(call, wait + 30_000, ...args);
  });
  await sleep(35_000);
  const after = page.events.slice(mark);
  // (Nor suspects anybody, which only a test in virtual time can say: here the machine may be busy.)
  assert.deepEqual(after.filter((each) => /^node(lost|left)$/.test(each.event)), []);
  assert.deepEqual(first.all("node_lost", "node_left"), []);
});

test("the signaling server goes and comes back: links live on", async (t) => {
  const server = await PeerServer.start(t);
  const [origin, browser] = [await serve(t), await browse(t)];
  const page = await Page.open(t, browser, origin, "host");
  await page.host({ signalingUrl: server.url });
  const one = await join(t, "native 1", page.code, "--signal", server.url);
  await server.stop();
  await page.event("signalinglost");
  await page.call("broadcast", "still here");
  await one.node.event("message", { with: { text: '"still here"' } });
  await server.restart();
  await page.event("signalingrestored", { within: 20_000 });
  await join(t, "native 2", page.code, "--signal", server.url);
  assert.deepEqual(page.all("nodelost", "nodeleft"), []);
});

test("the other side is killed: lost, then left", async (t) => {
  const { first, page, native } = await three(t);
  native.node.kill();
  await page.event("nodeleft", { with: { node: native.id, reason: "lost" }, within: 30_000 });
  first.kill();
  await page.event("ended", { with: { reason: "host_lost" }, within: 30_000 });
});

test("what goes wrong has a kind", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const page = await Page.open(t, browser, origin, "page");
  const messages = [];
  const kinds = async (role, code, options) => {
    const { error } = await page.start(role, code, { signalingUrl: url, ...options });
    assert.ok(error?.message.length > 0, "it says something to a person, too");
    messages.push(error.message);
    return error.kind;
  };
  for (const options of [
    { maxNodes: 1 },
    { maxNode: 3 },
    { topology: "ring" },
    { iceServers: [{ urls: "http://x" }] },
    { iceServers: [{ urls: "stun:x", username: "a" }] },
    { timeouts: { lostAfter: 1 } },
    { signalingUrl: "http://127.0.0.1/" },
    { verbose: 1 },
  ]) {
    assert.equal(await kinds("host", undefined, options), "usage", JSON.stringify(options));
  }
  assert.equal(await kinds("join", "NOT A CODE"), "usage");
  // What is wrong is named, though the module has no Debug texts.
  assert.ok(messages.some((text) => text.includes('"http://x"')), messages.join("\n"));
  assert.equal(await kinds("join", "ABCDE0"), "usage");
  assert.match(messages.at(-1), /'0'/);
  assert.equal(await kinds("join", "ZZZZ99"), "code_not_found");
  const gone = { signalingUrl: "ws://127.0.0.1:9/peerjs", timeouts: { signaling: 2_000 } };
  assert.equal(await kinds("join", "ABCDEF", gone), "signaling_unreachable");
  const first = await host(t, "--signal", url, "--max-nodes", "2");
  await join(t, "native", first.code, "--signal", url);
  assert.equal(await kinds("join", first.code), "network_full");

  const aborted = await page.page.evaluate(async (signalingUrl) => {
    const { Network } = await import("/pkg/wattle.js");
    const options = { signalingUrl, iceServers: [], signal: AbortSignal.timeout(200) };
    return Network.join("ZZZZ99", options).catch((error) => error.name);
  }, url);
  assert.equal(aborted, "TimeoutError");

  await page.host({ signalingUrl: url, maxMessage: 1_000 });
  const send = (method, ...args) =>
    page.page.evaluate(
      ([method, args]) => {
        try {
          window.network[method](...args);
        } catch (error) {
          return error.kind;
        }
      },
      [method, args],
    );
  assert.equal(await send("broadcast", "x".repeat(2_000)), "too_large");
  assert.equal(await send("sendTo", "x", 1), "usage");
  assert.equal(await send("sendTo", "a".repeat(26), 1), "unknown_node");
  assert.equal(await send("sendTo", page.id, 1), "myself");
  assert.equal(await send("kick", "a".repeat(26)), "unknown_node");
  await page.call("leave");
  assert.equal(await send("broadcast", 1), "not_joined");
});

test("a large message and many small ones arrive, whole and in order", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const first = await Page.open(t, browser, origin, "host");
  await first.host({ signalingUrl: url });
  const second = await Page.open(t, browser, origin, "joiner");
  await second.join(first.code, { signalingUrl: url });
  const result = second.page.evaluate(
    () =>
      new Promise((done) => {
        let [large, next] = [0, 0];
        network.onmessage = ({ bytes, payload }) => {
          if (bytes.length === 200_000) {
            large += bytes.every((byte, place) => byte === place % 251) ? 1 : NaN;
          } else if (payload.n === next) next += 1;
          if (large === 20 && next === 2000) done({ large, next });
        };
      }),
  );
  const full = await first.page.evaluate(async () => {
    const bytes = new Uint8Array(200_000).map((_, place) => place % 251);
    let full = 0;
    for (let n = 0; n < 2000; n += 1) {
      for (const payload of n % 100 === 0 ? [bytes, { n }] : [{ n }]) {
        try {
          network.broadcast(payload);
        } catch (error) {
          if (error.kind !== "full") throw error;
          full += 1;
          await network.broadcastWhenRoom(payload);
        }
      }
    }
    return full;
  });
  assert.deepEqual(await result, { large: 20, next: 2000 });
  assert.ok(full > 0, "the sender met the limit");
});
