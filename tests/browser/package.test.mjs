// The package where it may find itself: on a server, in a worker, behind a policy, without its module.

import assert from "node:assert/strict";
import { join as path } from "node:path";
import { test } from "node:test";

import { Page, browse, pkg, serve, signaling } from "./pages.mjs";

/** What a call comes to in the page: its error, or that there is none. */
const outcome = (page, call, ...given) =>
  page.evaluate(
    async ([call, given]) => {
      try {
        const network = await new Function("...given", `return (${call})(...given)`)(...given);
        network?.close?.();
        return "fine";
      } catch ({ kind, message, remedy }) {
        return { kind, message, remedy };
      }
    },
    [call, given],
  );

const HOST = `async (from, signalingUrl) =>
  (await import(from)).Network.host({ signalingUrl, iceServers: [] })`;

test("on a server the package can be imported, and says that it needs a page", async () => {
  for (const name of ["wattle.js", "inline.js"]) {
    const { Network, load } = await import(path(pkg, name));
    for (const call of [() => Network.host(), () => Network.join("K7QF2M"), () => load()]) {
      await assert.rejects(call, { name: "WattleError", kind: "platform", message: /not a page/ });
    }
  }
});

test("without its file the module cannot be loaded, with wattle/inline it can, and later as well", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const { page } = await Page.open(t, browser, origin, "page");
  await page.route("**/*.wasm", (route) => route.fulfill({ status: 404, body: "not here" }));
  const missing = await outcome(page, HOST, "/pkg/wattle.js", url);
  assert.equal(missing.kind, "load");
  assert.match(missing.message, /404/);
  assert.match(missing.remedy, /wattle\/inline/);
  assert.equal(await outcome(page, HOST, "/pkg/inline.js", url), "fine");

  const { page: again } = await Page.open(t, browser, origin, "again");
  await again.route("**/*.wasm", (route) => route.fulfill({ body: "<!doctype html>", contentType: "text/html" }));
  assert.equal((await outcome(again, HOST, "/pkg/wattle.js", url)).kind, "load");
  await again.unroute("**/*.wasm");
  assert.equal(await outcome(again, HOST, "/pkg/wattle.js", url), "fine");
});

test("a Content-Security-Policy", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const under = async (policy, from) => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(`${origin}/?policy=${encodeURIComponent(policy)}`);
    const before = Date.now();
    // The page may not make functions of texts.
    const came = await page.evaluate(
      async ([from, signalingUrl]) => {
        const { Network } = await import(from);
        const network = Network.host({ signalingUrl, iceServers: [], timeouts: { signaling: 60_000 } });
        return network.then(() => "fine", ({ kind, remedy }) => ({ kind, remedy }));
      },
      [from, url],
    );
    return [came, Date.now() - before];
  };
  const connect = `connect-src 'self' ${new URL(url).origin}`;
  for (const name of ["wattle.js", "inline.js"]) {
    const strict = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; ${connect}`;
    assert.deepEqual((await under(strict, `/pkg/${name}`))[0], "fine", name);
  }
  const [noModule] = await under(`script-src 'self'; ${connect}`, "/pkg/wattle.js");
  assert.equal(noModule.kind, "load");
  assert.match(noModule.remedy, /wasm-unsafe-eval/);
  const [noServer, took] = await under("script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'", "/pkg/wattle.js");
  assert.equal(noServer.kind, "signaling_unreachable");
  assert.match(noServer.remedy, /console/);
  assert.ok(took < 50_000, `what the page forbids is no server that is silent: ${took} ms`);
});

test("in a worker states can be smoothed, and nobody met", async (t) => {
  const [origin, browser] = [await serve(t), await browse(t)];
  const { page } = await Page.open(t, browser, origin, "page");
  const said = await page.evaluate(() => {
    const program = `
      import("${location.origin}/pkg/wattle.js").then(async ({ Network, Interpolator, load }) => {
        await load();
        const smooth = new Interpolator(["linear"]).push(0, [1]);
        const refused = await Network.join("K7QF2M").catch(({ kind, remedy }) => ({ kind, remedy }));
        postMessage({ smooth, ...refused });
      })`;
    const worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
    return new Promise((done, failed) => {
      worker.onmessage = ({ data }) => done(data);
      worker.onerror = ({ message }) => failed(new Error(message));
    });
  });
  assert.equal(said.smooth, true);
  assert.equal(said.kind, "platform");
  assert.match(said.remedy, /not in a worker/);
});

test("mistakes are told as such, and spoil nothing", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const node = await Page.open(t, browser, origin, "page");
  const { page } = node;
  await page.evaluate(async (url) => {
    window.wattle = await import("/pkg/wattle.js");
    window.early = await (async () => new wattle.Interpolator(["linear"]))().catch((error) => error);
    window.options = { signalingUrl: url, iceServers: [] };
    window.host = await wattle.Network.host(options);
    window.joiner = await wattle.Network.join(host.code.toLowerCase().replace(/(...)/, " $1 "), options);
  }, url);
  assert.equal(await page.evaluate(() => early.kind), "usage");
  const wrong = {
    "a host's options": ["null", "5", "'x'", "[]"].map((given) => `wattle.Network.host(${given})`),
    "a host's option": [
      "code: 123456", "code: null", "maxNodes: '4'", "maxNodes: 1", "signal: {}", "onmessage: 'x'",
      "onMessage() {}", "onfoo() {}", "host: 'x'", "topology: 'ring'", "timeouts: { ice: -1 }", "autoRelay: 1",
      "iceServers: { urls: 'stun:x' }", "iceServers: [null]", "iceServers: ['stun:x']", "iceServers: [{}]",
      "iceServers: [{ urls: 'turn:x' }]", "iceServers: [{ urls: ['stun:y', 'TURN:x'], username: 'a' }]",
      "iceTransportPolicy: 'relay'", "signalingUrl: 'https://x'", "maxMessage: 1e9",
    ].map((option) => `wattle.Network.host({ ...options, ${option} })`),
    "a joiner's": [
      "", "null", "{}, options", "234567, options", "'', options", "'O0O0O0', options", "'K7QF2M', null",
    ].map((given) => `wattle.Network.join(${given})`),
    "a payload": [
      "undefined", "10n", "() => 1", "Symbol()", "new Blob([])", "new Map()", "new Set()", "Promise.resolve(1)",
      "{ deep: [new Uint8Array(2)] }", "{ toJSON() { throw new Error('mine') } }",
      "(() => { const a = []; a.push(a); return a })()",
      "(() => { const bytes = new Uint8Array(8); structuredClone(bytes, { transfer: [bytes.buffer] }); return bytes })()",
    ].flatMap((payload) => [`host.broadcast(${payload})`, `host.broadcastWhenRoom(${payload})`]),
    "a node": ["undefined", "null", "5", "{ node: joiner.id }", "'bob'", "Symbol()"]
      .flatMap((given) => [`host.sendTo(${given}, 1)`, `host.sendToWhenRoom(${given}, 1)`, `host.kick(${given})`]),
    "servers": ["", "'stun:x'", "[{ urls: 'turn:x' }]"].map((given) => `host.setIceServers(${given})`),
    "waiting": ["null", "{ signal: 5 }"].map((given) => `host.broadcastWhenRoom(1, ${given})`),
    "an interpolator": ["", "'linear'", "[]", "['lin']", "['linear'], null", "['linear'], { delay: 'x' }"]
      .map((given) => `new wattle.Interpolator(${given})`)
      .concat(["0", "0, {}", "0, [1]"].map((given) => `new wattle.Interpolator(['step', 'step']).push(${given})`)),
  };
  for (const [what, calls] of Object.entries(wrong)) {
    for (const call of calls) {
      const said = await outcome(page, `async () => (${call})`);
      assert.equal(said.kind, "usage", `${what}: ${call} came to ${JSON.stringify(said)}`);
      assert.ok(said.message.length > 10, call);
    }
  }
  // What is too large does not even get into the module's memory, which never shrinks.
  const [kind, memory] = await page.evaluate(async () => {
    const { memory } = await (await import("/pkg/wattle_wasm.js")).default();
    try {
      host.broadcast(new Uint8Array(300_000_000));
    } catch ({ kind }) {
      return [kind, memory.buffer.byteLength];
    }
  });
  assert.equal(kind, "too_large");
  assert.ok(memory < 50_000_000, `${memory} bytes`);
  // Listeners that throw, that remove themselves, that leave.
  const heard = await page.evaluate(async () => {
    const heard = [];
    joiner.addEventListener("message", function once() {
      joiner.removeEventListener("message", once);
      throw new Error("a listener's own");
    });
    joiner.onmessage = ({ payload }) => {
      heard.push(payload);
      if (payload === "leave") joiner.close();
    };
    for (const payload of [1, null, [1, { a: null }], "\ud800", "leave"]) host.broadcast(payload);
    const { reason } = await joiner.ended;
    const calls = [() => joiner.broadcast(1), () => joiner.broadcastState(1), () => joiner.sendTo(host.id, 1)];
    for (const call of calls) {
      try {
        call();
      } catch ({ kind }) {
        heard.push(kind);
      }
    }
    return [...heard, reason, (await joiner.leave()).reason, joiner.nodes.length];
  });
  const after = ["not_joined", "not_joined", "not_joined", "left", "left", 0];
  assert.deepEqual(heard, [1, null, [1, { a: null }], "\ud800", "leave", ...after]);
  assert.deepEqual(node.errors.filter((error) => !/favicon|404/.test(error)), ["Error: a listener's own"]);

  // As React's strict mode mounts: made, given up at any stage, and made again with the same code.
  const codes = await page.evaluate(async () => {
    const codes = [];
    for (const stage of ["at once", "made", undefined]) {
      const given = new AbortController();
      const made = wattle.Network.host({ ...options, code: "STRCTM", signal: given.signal });
      if (stage === "at once") given.abort();
      const network = await made.catch((error) => error);
      codes.push(network instanceof Error ? network.name : network.code);
      network.close?.();
    }
    const stages = [];
    for (const stage of ["signaling", "ice", "datachannel"]) {
      const given = new AbortController();
      const onphase = ({ phase }) => phase === stage && given.abort();
      const made = wattle.Network.join(host.code, { ...options, signal: given.signal, onphase });
      stages.push(await made.catch((error) => error.name));
    }
    const last = await wattle.Network.join(host.code, options);
    return [...codes, ...stages, last.nodes.length, host.status];
  });
  assert.deepEqual(codes, ["AbortError", "STRCTM", "STRCTM", "AbortError", "AbortError", "AbortError", 2, "joined"]);

  // As Firefox under a policy, and all browsers in a page that came by https:.
  await page.evaluate(() => {
    window.WebSocket = class {
      constructor() {
        throw new DOMException("The operation is insecure.", "SecurityError");
      }
    };
  });
  const forbidden = await outcome(page, "() => wattle.Network.host(options)");
  assert.equal(forbidden.kind, "signaling_protocol");
  assert.match(forbidden.message, /does not let this page/);
  assert.match(forbidden.remedy, /wss:.*connect-src/);
});
