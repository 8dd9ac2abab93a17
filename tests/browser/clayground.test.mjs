// A page of ours and a page with the real PeerJS library, as a Clayground node, in one network.

import { test } from "node:test";

import { until } from "../interop/processes.mjs";
import { Page, browse, serve, signaling } from "./pages.mjs";

/** A Clayground page; `call` runs one of its functions. */
const clayground = async (browser, origin, signalingUrl) => {
  const page = await browser.newPage();
  await page.goto(`${origin}/clients/page.html?port=${new URL(signalingUrl).port}`);
  const call = (name, ...args) => page.evaluate(([name, args]) => eval(name)(...args), [name, args]);
  const hears = (what, matches) =>
    until(what, 15_000, async () => (await page.evaluate("heard")).some(matches));
  return { call, hears };
};

const start = async (t) => {
  const [signalingUrl, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const ours = await Page.open(t, browser, origin, "ours");
  return { signalingUrl, ours, theirs: await clayground(browser, origin, signalingUrl) };
};

const talk = async (ours, theirs) => {
  await ours.call("broadcast", { from: "wattle" });
  await theirs.hears("our message", (frame) => frame.t === "m" && frame.d?.from === "wattle");
  await theirs.call("say", { from: "clayground" });
  await ours.event("message", { with: { payload: { from: "clayground" } } });
  await theirs.hears("the connection for states", (frame) => frame.opened === "clay_state");
  await theirs.call("show", { x: 1 });
  await ours.event("state", { with: { payload: { x: 1 } } });
};

test("a Clayground page joins a page", async (t) => {
  const { signalingUrl, ours, theirs } = await start(t);
  await ours.host({ signalingUrl });
  await theirs.call("join", "somebody", ours.code);
  await ours.event("nodejoined");
  await talk(ours, theirs);
  await theirs.call("leave");
  await ours.event("nodeleft");
});

test("a page joins a Clayground page", async (t) => {
  const { signalingUrl, ours, theirs } = await start(t);
  await theirs.call("host", "ABCDEF");
  await ours.join("ABCDEF", { signalingUrl });
  await talk(ours, theirs);
  await ours.call("leave");
});
