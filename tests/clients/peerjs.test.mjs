// Pages with the real PeerJS library in Chromium, in networks with `wattle`, in both roles: over the
// real PeerServer and over `wattle serve`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import test from "node:test";

import { chromium } from "playwright-core";

import { PeerServer, Process, again, freePort, isListening, program, until } from "../interop/processes.mjs";

const here = new URL(".", import.meta.url);
const CODE = "ABCDEF";
const VERSIONS = { "1.5.4": "peerjs-1.5.4", "1.5.5": "peerjs" };

const wattle = (t, name, ...args) =>
  new Process(t, name, program("WATTLE"), [...args, "--no-ice", "--grace", "6", "--json"]);

/** Both kinds of signaling servers. */
const SERVERS = {
  PeerServer: async (t) => {
    const server = await PeerServer.start(t);
    return { port: server.port, url: server.url };
  },
  "wattle serve": async (t) => {
    const port = await freePort();
    new Process(t, "serve", program("WATTLE"), ["serve", "--listen", `127.0.0.1:${port}`, "--json"]);
    await until("it listens", 30_000, () => isListening(port));
    return { port, url: `ws://127.0.0.1:${port}/peerjs` };
  },
};

/** Serves the page, with this version of the library. */
const site = async (t, version) => {
  const library = new URL(`node_modules/${VERSIONS[version]}/dist/peerjs.min.js`, here);
  const files = {
    "/": ["text/html", await readFile(new URL("page.html", here))],
    "/peerjs.js": ["text/javascript", await readFile(library)],
  };
  const server = createServer((request, response) => {
    const file = files[new URL(request.url, "http://x").pathname];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": file[0] }).end(file[1]);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return server.address().port;
};

const launch = async (t) => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-features=WebRtcHideLocalIpsWithMdns"],
  });
  t.after(() => browser.close());
  return browser;
};

/** A page; calls run in it. */
class Page {
  #page;

  static async open(browser, sitePort, port) {
    const page = new Page();
    page.#page = await browser.newPage();
    page.#page.on("pageerror", (error) => console.error("in the page:", error.message));
    await page.#page.goto(`http://127.0.0.1:${sitePort}/?port=${port}`);
    return page;
  }

  call(name, ...args) {
    return this.#page.evaluate(([name, args]) => eval(name)(...args), [name, args]);
  }

  heard() {
    return this.#page.evaluate("heard");
  }

  async frame(what, matches) {
    let found;
    const look = async () => (found = (await this.heard()).find(matches));
    try {
      await until(what, 20_000, look);
    } catch (error) {
      throw new Error(`${error.message}; it heard ${JSON.stringify(await this.heard())}`);
    }
    return found;
  }

  close() {
    return this.#page.close();
  }
}

for (const version of Object.keys(VERSIONS)) {
  for (const [name, start] of Object.entries(SERVERS)) {
    test(`a page with PeerJS ${version} joins a wattle host, over ${name}`, async (t) => {
      const { port, url } = await start(t);
      const sitePort = await site(t, version);
      const browser = await launch(t);
      const host = wattle(t, "host", "host", "--code", CODE, "--signal", url, "--max-nodes", "3");
      await host.event("network_created");
      const joiner = wattle(t, "joiner", "join", CODE, "--signal", url);
      const { node } = await joiner.event("joined");

      const before = host.mark;
      const page = await Page.open(browser, sitePort, port);
      await page.call("join", "page1", CODE);
      const roster = await page.frame("a roster", (one) => one.sys === "roster");
      assert.deepEqual(roster.nodes, [node]);
      const others = (one) => one.node !== node && one.event === "node_joined";
      await until("it is in", 20_000, () => host.events.slice(before).some(others));
      const { node: its } = host.events.slice(before).find(others);
      await joiner.event("node_joined", { with: { node: its } });

      await page.call("say", { hello: "é", x: 1.5 });
      for (const one of [host, joiner]) {
        const { text } = await one.event("message", { with: { from: its } });
        assert.deepEqual(JSON.parse(text), { hello: "é", x: 1.5 });
      }
      const shows = () => page.call("show", { n: 1 });
      await again("its state", shows, () => [host, joiner].every((one) => one.hasStateOf(its)));
      host.command('broadcast {"of":"host"}');
      joiner.command('broadcast {"of":"joiner"}');
      const first = await page.frame("host", (one) => one.t === "m" && one.d.of === "host");
      assert.equal(first.from, undefined);
      const second = await page.frame("joiner", (one) => one.t === "m" && one.d.of === "joiner");
      assert.equal(second.from, node);
      const isState = (one) => one.t === "s";
      await again("a state", () => joiner.command('state {"s":1}'), async () => (await page.heard()).some(isState));
      const state = await page.frame("a state", isState);
      assert.deepEqual([state.from, state.on], [node, "state"]);
      assert.ok(state.q >= 1, `${state.q}`);
      joiner.command(`broadcast {"long":"${"x".repeat(60_000)}"}`);
      const long = await page.frame("a long one", (one) => one.d?.long);
      assert.equal(long.d.long.length, 60_000);
      // A text that is no JSON object is refused, and said so.
      joiner.command("broadcast hello");
      const refused = await joiner.event("error");
      assert.equal(refused.kind, "not_json", JSON.stringify(refused));

      // There is no room for another one, which is told so.
      const late = await Page.open(browser, sitePort, port);
      late.call("join", "late", CODE).catch(() => {});
      const no = await late.frame("a refusal", (one) => one.t === "R");
      assert.equal(no.r, "Network full");

      await page.close();
      await host.event("node_left", { with: { node: its } });
      await joiner.event("node_left", { with: { node: its } });
    });

    test(`a wattle node joins a page with PeerJS ${version}, over ${name}`, async (t) => {
      const { port, url } = await start(t);
      const sitePort = await site(t, version);
      const browser = await launch(t);
      const page = await Page.open(browser, sitePort, port);
      await page.call("host", CODE);
      const joiner = wattle(t, "joiner", "join", CODE, "--signal", url);
      const { nodes } = await joiner.event("joined");
      assert.equal(nodes.length, 2);
      joiner.command('broadcast {"hello":1}');
      await page.frame("hello", (one) => one.d?.hello === 1);
      await page.call("say", { welcome: true });
      const { from, text } = await joiner.event("message");
      assert.deepEqual([from, JSON.parse(text)], [nodes[0], { welcome: true }]);
      await page.frame("a second connection", (one) => one.opened === "clay_state");
      // It is open on one side first: until it is on both, states go the other way.
      const arrives = async () => {
        joiner.command('state {"s":1}');
        return (await page.heard()).some((one) => one.t === "s" && one.on === "state");
      };
      await until("a state on it", 10_000, arrives);
      await again("its state", () => page.call("show", { s: 2 }), () => joiner.hasStateOf(nodes[0]));

      const before = joiner.mark;
      const second = wattle(t, "second", "join", CODE, "--signal", url);
      assert.equal((await second.network(3)).size, 3);
      const { node: its } = await joiner.event("node_joined", { after: before });
      second.command('broadcast {"second":1}');
      await page.call("relay", await page.frame("second", (one) => one.d?.second));
      await joiner.event("message", { with: { from: its } });
      second.command("leave");

      await page.call("leave");
      const ended = await joiner.event("ended");
      assert.equal(ended.reason, "host_closed");
    });
  }
}

/**
 * A way to a server that breaks once: `breaks` is asked for all that passes, with its direction and how often
 * something passed there before; it says whether the way breaks, and if what it was asked for is lost, too.
 */
const fragile = async (t, port, breaks) => {
  let broken = 0;
  const server = createTcpServer((near) => {
    const far = connect(port, "127.0.0.1");
    const passed = { up: 0, down: 0 };
    const pass = (direction, from, to) => {
      from.on("data", (data) => {
        const verdict = broken === 0 && breaks(direction, data, passed[direction]);
        passed[direction] += 1;
        if (verdict !== "lost") to.write(data);
        if (!verdict) return;
        broken += 1;
        // What was passed on arrives; then nothing more does.
        to.end();
        from.destroy();
      });
      from.on("close", () => to.destroy());
      from.on("error", () => to.destroy());
    };
    pass("up", near, far);
    pass("down", far, near);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return { url: `ws://127.0.0.1:${server.address().port}/peerjs`, broken: () => broken };
};

// A page closes a connection that is offered to it twice, so the offer is repeated only where its answer is lost.
const MOMENTS = {
  "behind the offer, and the server keeps the answer": (direction, data, passed) =>
    direction === "up" && passed === 1 && data.length > 300 && "passed",
  "before the answer, which is lost": (direction, data) =>
    direction === "down" && data.includes('"ANSWER"') && "lost",
  "behind the answer, and candidates are lost": (direction, data) =>
    direction === "down" && data.includes('"ANSWER"') && "passed",
};

for (const [moment, breaks] of Object.entries(MOMENTS)) {
  test(`the way to PeerServer breaks ${moment}: a wattle node joins a page all the same`, async (t) => {
    const { port } = await SERVERS.PeerServer(t);
    const way = await fragile(t, port, breaks);
    const sitePort = await site(t, "1.5.5");
    const browser = await launch(t);
    const page = await Page.open(browser, sitePort, port);
    await page.call("host", CODE);
    const joiner = wattle(t, "joiner", "join", CODE, "--signal", way.url);
    await joiner.event("joined");
    assert.equal(way.broken(), 1);
    joiner.command('broadcast {"hello":1}');
    await page.frame("hello", (one) => one.d?.hello === 1);
    joiner.command("leave");
  });
}
