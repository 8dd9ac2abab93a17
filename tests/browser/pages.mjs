// Pages of a real browser as nodes: Chromium without a window, driven from outside, with the package of
// `driver-wasm/build` in each page. Nothing leaves this machine.
//
// Environment: CHROMIUM is the browser (default /usr/bin/chromium); WATTLE_PKG is the package.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join as path, normalize } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { Process, freePort, isListening, program, until } from "../interop/processes.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
export const pkg = process.env.WATTLE_PKG ?? path(root, "driver-wasm", "pkg");

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".wasm": "application/wasm",
};

/**
 * Serves the package at `/pkg/`, the demo at `/demo/`, an empty page at `/` (with `?policy=…` under this
 * Content-Security-Policy), and a Clayground page with the real PeerJS library at `/clients/page.html`.
 */
export const serve = async (t) => {
  const clients = path(root, "tests", "clients");
  const folders = { pkg, demo: path(root, "driver-wasm", "demo"), clients };
  const peerjs = path(clients, "node_modules", "peerjs", "dist", "peerjs.min.js");
  const server = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    const [, folder, ...rest] = normalize(pathname).split("/");
    if (pathname === "/") {
      response.setHeader("content-type", TYPES[".html"]);
      const policy = searchParams.get("policy");
      if (policy) response.setHeader("content-security-policy", policy);
      return response.end("<!doctype html><title>a node</title>");
    }
    try {
      const file = pathname === "/peerjs.js" ? peerjs : path(folders[folder], ...rest);
      const text = await readFile(file);
      response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
      response.end(text);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
};

/** `wattle serve` on a free port. */
export const signaling = async (t) => {
  const port = await freePort();
  const args = ["serve", "--listen", `127.0.0.1:${port}`, "--json"];
  new Process(t, "wattle serve", program("WATTLE"), args);
  await until("wattle serve listens", 30_000, () => isListening(port));
  return `ws://127.0.0.1:${port}/peerjs`;
};

/** How the browser treats its own addresses: as names (`.local`), as is usual, or as they are. */
export const HIDING = { hidden: [], shown: ["WebRtcHideLocalIpsWithMdns"] };

/** A browser. */
export const browse = async (t, hiding = "shown") => {
  const off = [...HIDING[hiding], "IntensiveWakeUpThrottling", "OptimizationHints", "MediaRouter"];
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--disable-features=${off.join(",")}`,
    ],
  });
  t.after(() => browser.close());
  return browser;
};

/**
 * Freezes a page of Chromium as a debugger does it: nothing of the page runs, and the browser's own parts go on.
 * Gives what thaws it.
 */
export const freeze = async ({ page }) => {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Debugger.enable");
  await devtools.send("Debugger.pause");
  return () => devtools.send("Debugger.resume");
};

/** A page with a node in it. */
export class Page {
  events = [];
  #waiting = new Set();

  constructor(name, page) {
    this.name = name;
    this.page = page;
  }

  static async open(t, browser, origin, name) {
    const context = await browser.newContext();
    // If the browser is still there then.
    t.after(() => context.close().catch(() => {}));
    const page = new Page(name, await context.newPage());
    page.errors = [];
    page.page.on("pageerror", (error) => page.errors.push(String(error)));
    page.page.on("console", (message) => page.errors.push(`${message.type()}: ${message.text()}`));
    await page.page.exposeFunction("report", (event) => {
      page.events.push({ ...event, at: Date.now() });
      for (const look of page.#waiting) look();
    });
    await page.page.goto(`${origin}/`);
    page.another = (t, name = `${page.name} too`) => Page.open(t, browser, origin, name);
    return page;
  }

  /** Hosts or joins; every event is reported. */
  async start(role, code, options) {
    return this.page.evaluate(
      async ([role, code, options]) => {
        const wattle = await import("/pkg/wattle.js");
        const types = Object.getOwnPropertyNames(wattle.Network.prototype)
          .filter((name) => name.startsWith("on"));
        const given = { ...options };
        for (const name of types) {
          given[name] = (event) => {
            const members = {};
            for (const key in event) {
              if (Object.hasOwn(event, key) && key !== "isTrusted") members[key] = event[key];
            }
            if (event.bytes) {
              members.payload = event.payload instanceof Uint8Array ? "bytes" : event.payload;
              members.text = event.text;
              members.bytes = [...event.bytes.subarray(0, 64)];
            }
            window.report({ event: event.type, ...members });
          };
        }
        try {
          const network = role === "host"
            ? await wattle.Network.host(given)
            : await wattle.Network.join(code, given);
          window.network = network;
          return { id: network.id, code: network.code, nodes: network.nodes };
        } catch (error) {
          return { error: { kind: error.kind, message: error.message, remedy: error.remedy } };
        }
      },
      [role, code, { iceServers: [], ...options }],
    );
  }

  async host(options = {}) {
    const started = await this.start("host", undefined, options);
    assert.equal(started.error, undefined, `${this.name}: ${JSON.stringify(started.error)}`);
    return Object.assign(this, started);
  }

  async join(code, options = {}) {
    const started = await this.start("join", code, options);
    assert.equal(
      started.error,
      undefined,
      `${this.name}: ${JSON.stringify(started.error)}\n${this.#said()}`,
    );
    return Object.assign(this, started);
  }

  /** Calls a method of the network with JSON arguments. */
  call(method, ...args) {
    return this.page.evaluate(
      ([method, args]) => window.network[method](...args),
      [method, args],
    );
  }

  /** How many events there were so far; for `event` with `after`. */
  get mark() {
    return this.events.length;
  }

  all(...names) {
    return this.events.filter((each) => names.includes(each.event));
  }

  /** As `Process.event` of the tests with real processes. */
  async event(name, { with: members = {}, after = 0, within = 40_000 } = {}) {
    const matches = (each) =>
      each.event === name &&
      Object.entries(members).every(
        ([key, value]) => JSON.stringify(each[key]) === JSON.stringify(value),
      );
    let timer;
    let look;
    try {
      return await new Promise((done, failed) => {
        look = () => {
          const found = this.events.slice(after).find(matches);
          if (found) done(found);
        };
        const wanted = JSON.stringify({ event: name, ...members });
        timer = setTimeout(
          () => failed(new Error(`${this.name}: no ${wanted} within ${within} ms\n${this.#said()}`)),
          within,
        );
        this.#waiting.add(look);
        look();
      });
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  #said() {
    const seen = this.events.map((each) => JSON.stringify(each)).join("\n  ");
    return `it said:\n  ${seen}\nerrors:\n  ${this.errors.join("\n  ")}`;
  }

  close() {
    return this.page.close();
  }
}
