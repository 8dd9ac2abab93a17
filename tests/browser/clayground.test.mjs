// A page of ours and a page with the real PeerJS library, as a Clayground node, in one network.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { again, sleep, until } from "../interop/processes.mjs";
import { Page, browse, freeze, serve, signaling } from "./pages.mjs";

/** A Clayground page; `call` runs one of its functions. */
const clayground = async (browser, origin, signalingUrl) => {
  const page = await browser.newPage();
  await page.goto(`${origin}/clients/page.html?port=${new URL(signalingUrl).port}`);
  const call = (name, ...args) => page.evaluate(([name, args]) => eval(name)(...args), [name, args]);
  const hears = (what, matches) =>
    until(what, 20_000, async () => (await page.evaluate("heard")).some(matches));
  const look = (name) => page.evaluate(name);
  return { page, call, hears, look };
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
  // The connection may be open on one side alone.
  await again("their state", () => theirs.call("show", { x: 1 }), () => ours.all("state").length > 0);
  await ours.event("state", { with: { payload: { x: 1 } } });
  const isOurs = (frame) => frame.on === "state" && frame.d?.y === 2;
  const arrived = async () => (await theirs.look("heard")).some(isOurs);
  await again("our state", () => ours.call("broadcastState", { y: 2 }), arrived);
  await until("it is asked for signs of life", 20_000, async () => (await theirs.look("pings")).state);
};

test("a Clayground page joins a page", async (t) => {
  const { signalingUrl, ours, theirs } = await start(t);
  await ours.page.evaluate(() => {
    const { send } = RTCDataChannel.prototype;
    window.sentIn = [];
    RTCDataChannel.prototype.send = function (message) {
      window.sentIn.push(window.event?.type ?? "a later task");
      return send.call(this, message);
    };
  });
  await ours.host({ signalingUrl, verbose: true });
  await theirs.call("join", "somebody", ours.code);
  await theirs.hears("a roster", (frame) => frame.sys === "roster");
  // What is sent in these, over a channel of the other side, Chromium loses now and then.
  const sentIn = await ours.page.evaluate("sentIn");
  assert.equal(sentIn[0], "a later task");
  assert.deepEqual(sentIn.filter((type) => ["datachannel", "open"].includes(type)), []);
  const offer = await ours.event("diagnostic", { with: { kind: "foreign_offer" } });
  assert.match(offer.signaling_id, /somebody/);
  await ours.event("nodejoined");
  await talk(ours, theirs);
  await theirs.call("leave");
  await ours.event("nodeleft");
});

test("a Clayground page that is frozen is given a window of messages and no more, and misses nothing", async (t) => {
  const { signalingUrl, ours, theirs } = await start(t);
  await ours.host({ signalingUrl });
  await theirs.call("join", "frozen-page", ours.code);
  await ours.event("nodejoined");
  await ours.call("broadcast", { n: 0 });
  await theirs.hears("a message", (frame) => frame.d?.n === 0);
  // It answers that it has handled that, and what it says then comes behind the answer.
  await until("it is asked what it has handled", 20_000, async () => (await theirs.look("pings")).asked);
  await theirs.call("say", { answered: true });
  await ours.event("message", { with: { payload: { answered: true } } });
  const thaw = await freeze(theirs);
  const given = await ours.page.evaluate(async () => {
    const text = "x".repeat(10_000);
    let n = 0;
    // Until there was no room for so long.
    for (let last = performance.now(); performance.now() - last < 3_000; ) {
      try {
        for (;;) {
          window.network.broadcast({ n: n + 1, text });
          n += 1;
          last = performance.now();
        }
      } catch (error) {
        if (error.kind !== "full") throw error;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
    return n;
  });
  assert.ok(given > 40 && given < 60, `${given} times 10 kB are a window of 512 KiB`);
  await thaw();
  await theirs.hears("the last message", (frame) => frame.d?.n === given);
  await ours.page.evaluate((n) => window.network.broadcastWhenRoom({ n }), given + 1);
  await theirs.hears("and another", (frame) => frame.d?.n === given + 1);
  assert.deepEqual(ours.all("nodelost", "nodeleft"), []);
});

test("a page joins a Clayground page", async (t) => {
  const { signalingUrl, ours, theirs } = await start(t);
  await theirs.call("host", "ABCDEF");
  await ours.join("ABCDEF", { signalingUrl });
  await talk(ours, theirs);
  await ours.call("leave");
});

/** What a node says against another. */
const DOUBTS = ["nodesuspect", "nodelost", "nodeback", "nodeleft", "ended"];

/** Counts in a page when nothing ran for so long that the machine is to blame: from when until when. */
const watch = () => {
  window.pauses = [];
  let before = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - before > 400) window.pauses.push([before, now]);
    before = now;
  }, 50);
};

/** Whether such a pause may have been the reason of a suspicion, a sign of life being up to 7 s apart. */
const isExcused = ({ event, at }, pauses) =>
  /^node(suspect|back)$/.test(event) && pauses.some(([begin, end]) => begin < at && end > at - 10_000);

// A browser's own signs of life are 2.5 s apart, and those of both sides fall together now and then: so
// there are several pages.
describe("quiet", { concurrency: true }, () => {
  for (const mute of [false, true]) {
    test(`nobody is suspected where all is quiet${mute ? " and pings are not known" : ""}`, async (t) => {
      const { signalingUrl, ours, theirs } = await start(t);
      await theirs.look(`mute = ${mute}`);
      await theirs.call("host", "ABCDEF");
      const all = [ours];
      while (all.length < 5) all.push(await ours.another(t));
      for (const page of all) await page.join("ABCDEF", { signalingUrl });
      const watched = [theirs.page, ...all.map(({ page }) => page)];
      for (const page of watched) await page.evaluate(watch);
      const marks = new Map(all.map((page) => [page, page.mark]));
      await sleep(40_000);
      const pauses = (await Promise.all(watched.map((page) => page.evaluate("pauses")))).flat();
      for (const page of all) {
        const doubts = page.events.slice(marks.get(page)).filter(({ event }) => DOUBTS.includes(event));
        assert.deepEqual(doubts.filter((each) => !isExcused(each, pauses)), [], page.name);
      }
    });
  }
});
