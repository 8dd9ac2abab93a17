// How long connecting takes: wattle in pages and in processes, and PeerJS in pages, over the same real
// PeerServer, in the same browser, by turns. Not a test: it prints a table.
//
//   tests/run connecting            20 of each; COUNT=50 for more, HIDING=hidden for `.local` names
//
// Counted is the joiner's time: from the call (WebSocket not yet open) until it can send. For PeerJS
// that is `new Peer` to the connection's `open`, with an id of its own, so that it need not ask for one.
// A fresh page connects for the first time; its scripts and the module are loaded before, with all that they do
// by themselves: both open and close an RTCPeerConnection.

import { PeerServer, Wattle, host } from "../interop/processes.mjs";
import { Page, browse, serve } from "./pages.mjs";

const count = Number(process.env.COUNT ?? 20);
const ends = [];
const t = { after: (end) => ends.unshift(end) };

const milliseconds = (value) => `${value.toFixed(0).padStart(6)} ms`;

const peerjsPage = async (browser, origin, name) => {
  const page = await Page.open(t, browser, origin, name);
  await page.page.addScriptTag({ url: "/peerjs.js" });
  return page.page;
};

/** `new Peer` in a page; gives its options. */
const options = (url) => {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port), path: "/", config: { iceServers: [] } };
};

const measure = async () => {
  const [server, origin] = [await PeerServer.start(t), await serve(t)];
  const browser = await browse(t, process.env.HIDING ?? "shown");
  const signalingUrl = server.url;

  const wattleHost = await (await Page.open(t, browser, origin, "host")).host({ signalingUrl });
  const wattleJoiner = (await Page.open(t, browser, origin, "joiner")).page;
  const native = await host(t, "--signal", signalingUrl);
  const [peerHost, peerJoiner] = [
    await peerjsPage(browser, origin, "PeerJS host"),
    await peerjsPage(browser, origin, "PeerJS joiner"),
  ];
  await peerHost.evaluate(
    (options) =>
      new Promise((done, failed) => {
        window.peer = new window.Peer("the-host-of-peerjs", options);
        window.peer.on("open", done);
        window.peer.on("error", failed);
      }),
    options(signalingUrl),
  );

  const joinWithPeerjs = (page, number) =>
    page.evaluate(
      ([options, id]) =>
        new Promise((done, failed) => {
          const before = performance.now();
          const peer = new window.Peer(id, options);
          peer.on("error", failed);
          peer.on("open", () => {
            const connection = peer.connect("the-host-of-peerjs", { reliable: true });
            connection.on("open", () => {
              done(performance.now() - before);
              peer.destroy();
            });
          });
        }),
      [options(signalingUrl), `joiner-${number}`],
    );
  const joinInPage = (page, code) =>
    page.evaluate(
      async ([code, signalingUrl]) => {
        const { Network, load } = await import("/pkg/wattle.js");
        await load();
        const before = performance.now();
        const network = await Network.join(code, { signalingUrl, iceServers: [] });
        const took = performance.now() - before;
        await network.leave();
        return took;
      },
      [code, signalingUrl],
    );
  const joinNatively = async (code) => {
    const node = new Wattle(t, "joiner", "join", code, "--signal", signalingUrl);
    const { timing } = await node.event("joined", { within: 20_000 });
    node.command("leave");
    await node.exit();
    return timing.total_ms;
  };

  const fresh = async (open, connect) => {
    const page = await open();
    const took = await connect(page);
    await page.context().close();
    return took;
  };
  const openPeerjs = () => peerjsPage(browser, origin, "fresh PeerJS");
  const openWattle = async () => (await Page.open(t, browser, origin, "fresh")).page;

  let id = 0;
  const kinds = {
    "PeerJS: fresh page to page": () => fresh(openPeerjs, (page) => joinWithPeerjs(page, (id += 1))),
    "wattle: fresh page to page": () =>
      fresh(openWattle, (page) => joinInPage(page, wattleHost.code)),
    "wattle: fresh page to native host": () => fresh(openWattle, (page) => joinInPage(page, native.code)),
    "PeerJS: page to page": () => joinWithPeerjs(peerJoiner, (id += 1)),
    "wattle: page to page": () => joinInPage(wattleJoiner, wattleHost.code),
    "wattle: page to native host": () => joinInPage(wattleJoiner, native.code),
    "wattle: native to hosting page": () => joinNatively(wattleHost.code),
    "wattle: native to native": () => joinNatively(native.code),
  };
  const took = new Map(Object.keys(kinds).map((kind) => [kind, []]));
  // The first round warms everything up.
  for (let round = -1; round < count; round += 1) {
    for (const [kind, connect] of Object.entries(kinds)) {
      const time = await connect();
      if (round >= 0) took.get(kind).push(time);
    }
  }

  console.log(`${count} of each, by turns; ${browser.version()}`);
  console.log(`${"".padEnd(34)}   median     best    9 of 10`);
  for (const [kind, times] of took) {
    times.sort((a, b) => a - b);
    const at = (part) => times[Math.min(Math.floor(times.length * part), times.length - 1)];
    console.log(`${kind.padEnd(34)}${milliseconds(at(0.5))}${milliseconds(times[0])} ${milliseconds(at(0.9))}`);
  }
};

try {
  await measure();
} finally {
  for (const end of ends) await end();
}
