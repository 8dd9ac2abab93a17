// Says the same things to any PeerJS signaling server and prints what it observes, so that two
// servers are the same where two transcripts are.
//
//     npm ci
//     node conformance.mjs ws://127.0.0.1:9000 [--exceptions] [--alive-timeout MS]
//
// The server is mounted at `/`, with the key `peerjs`, as `node peerserver.mjs 9000` does it.
// The transcript is one JSON object a line on stdout: frames, closes and HTTP answers, by scenario
// and client, in the order in which a client saw them. Random ids are replaced. The plain
// transcript is `expected.jsonl` for PeerServer 1.0.2 and has to be the same for ours.
// `--exceptions` prints the scenarios in which ours differs on purpose instead; for those there is
// an `exceptions.*.jsonl` for each of the two. `--alive-timeout` plays only the scenario of a silent
// client (`silent.jsonl`), at a server that was started with that many milliseconds.
//
// Nothing here waits for "long enough" to see that nothing comes: a frame that must arrive is sent
// after the one that must not. The exit status is 1 if something that must arrive did not.

import http from "node:http";
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import WebSocket from "ws";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    exceptions: { type: "boolean", default: false },
    "alive-timeout": { type: "string" },
  },
});
if (positionals.length !== 1) {
  console.error("usage: conformance.mjs ws://HOST:PORT [--exceptions] [--alive-timeout MS]");
  process.exit(2);
}
const base = positionals[0].replace(/\/$/, "");
const run = randomBytes(4).toString("hex");
const ARRIVES = 20_000;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const ORIGIN = "http://somewhere.example";

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** A WebSocket, and everything that was seen on it. */
class Client {
  constructor(scenario, name, path, headers) {
    this.scenario = scenario;
    this.name = name;
    this.seen = [];
    this.barriers = new Set();
    this.waiting = [];
    this.over = false;
    this.socket = new WebSocket(base + path, { headers });
    this.socket.on("open", () => this.note({ upgraded: true }));
    this.socket.on("unexpected-response", (_, response) => {
      response.resume();
      this.end({ refused: response.statusCode });
    });
    this.socket.on("error", (error) => this.end({ error: error.code ?? "error" }));
    this.socket.on("message", (data, binary) => this.frame(data.toString(), binary));
    this.socket.on("close", (code) => {
      if (!this.closing) this.end({ closed: code === 1000 || code === 1005 ? "clean" : code });
    });
  }

  frame(text, binary) {
    const frame = JSON.parse(text);
    if (frame.payload?.barrier) {
      this.barriers.add(frame.payload.barrier);
    } else {
      for (const key of ["src", "dst"]) {
        if (key in frame) frame[key] = this.scenario.shown(frame[key]);
      }
      this.note(binary ? { binary: frame } : { frame });
      return;
    }
    this.wake();
  }

  note(what) {
    this.seen.push(what);
    this.wake();
  }

  end(what) {
    if (this.over) return;
    this.over = true;
    this.note(what);
  }

  wake() {
    for (const wake of this.waiting.splice(0)) wake();
  }

  /** Waits until `condition()` holds; says so in the transcript if it does not come to hold. */
  async until(what, condition, within = ARRIVES) {
    const end = Date.now() + within;
    while (!condition()) {
      const left = end - Date.now();
      if (left <= 0 || (this.over && what !== "end")) {
        this.seen.push({ missing: what });
        process.exitCode = 1;
        return;
      }
      let timer;
      await new Promise((done) => {
        this.waiting.push(done);
        timer = setTimeout(done, left);
      });
      clearTimeout(timer);
    }
  }

  frames() {
    return this.seen.filter((one) => "frame" in one || "binary" in one).length;
  }

  /** Waits until `count` frames came in all. */
  async gets(count, within) {
    await this.until(`${count} frames`, () => this.frames() >= count, within);
  }

  refusedByFrame() {
    return this.seen.some((one) => one.frame?.type === "ERROR");
  }

  async upgraded() {
    await this.until("upgrade", () => this.seen.some((one) => one.upgraded));
  }

  async ended(within) {
    await this.until("end", () => this.over, within);
  }

  /** Sends text or bytes as they are, anything else as JSON. */
  send(what) {
    const raw = typeof what === "string" || Buffer.isBuffer(what);
    this.socket.send(raw ? what : JSON.stringify(what));
  }

  /** Waits until all that was sent here was seen by the server, and what it did reached `other`. */
  async settle(other, dst = other.name) {
    const barrier = randomBytes(4).toString("hex");
    this.send({ type: "CANDIDATE", dst: this.scenario.id(dst), payload: { barrier } });
    await other.until("barrier", () => other.barriers.has(barrier));
  }

  /** Waits until the server has read all that was sent here. */
  async taken() {
    let answered = false;
    this.socket.once("pong", () => {
      answered = true;
      this.wake();
    });
    this.socket.ping();
    await this.until("pong", () => answered);
  }

  async close() {
    this.closing = true;
    let closed = this.socket.readyState === WebSocket.CLOSED;
    this.socket.once("close", () => {
      closed = true;
      this.wake();
    });
    this.socket.close();
    await this.until("end", () => closed);
  }
}

class Scenario {
  constructor(name) {
    this.name = name;
    this.clients = [];
    this.answers = [];
  }

  id(name) {
    return `${run}-${this.name}-${name}`;
  }

  shown(id) {
    return typeof id === "string" ? id.replaceAll(`${run}-${this.name}-`, "") : id;
  }

  at(name, path) {
    const client = new Client(this, name, path);
    this.clients.push(client);
    return client;
  }

  /** A client with the usual parameters, some replaced or (undefined) left out. */
  connect(name, replaced = {}) {
    const all = { key: "peerjs", id: this.id(name), token: `token-${name}`, ...replaced };
    const query = Object.entries(all)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
    return this.at(name, `/peerjs?${query.join("&")}`);
  }

  /** A client that is registered. */
  async open(name, replaced) {
    const client = this.connect(name, replaced);
    await client.gets(1);
    return client;
  }

  /** A plain HTTP request; `show` says what of the body is the same everywhere. */
  async http(method, path, show = () => undefined) {
    const url = base.replace(/^ws/, "http") + path;
    const answer = await new Promise((done, failed) => {
      const request = http.request(url, { method, headers: { Origin: ORIGIN } }, (response) => {
        let body = "";
        response.on("data", (data) => (body += data));
        response.on("end", () => done({ response, body }));
      });
      request.on("error", failed);
      request.end();
    });
    const { response, body } = answer;
    const allowed = response.headers["access-control-allow-origin"];
    const line = { http: `${method} ${path}`, status: response.statusCode };
    if (response.statusCode === 200) {
      line.any_origin = allowed === "*" || allowed === ORIGIN;
      line.body = show(body);
    }
    this.answers.push(line);
    return body;
  }

  print() {
    for (const answer of this.answers) console.log(line(this.name, answer));
    for (const client of this.clients) {
      for (const one of client.seen) console.log(line(this.name, { on: client.name, ...one }));
    }
  }
}

const line = (scenario, rest) => JSON.stringify({ scenario, ...rest });
const uuid = (body) => (UUID.test(body) ? "a version 4 UUID" : body);

/** What both servers do. */
const same = {
  async open(s) {
    await s.open("a", { version: "1.5.5" });
  },

  async parameters(s) {
    const none = undefined;
    const clients = [
      s.at("nothing", "/peerjs"),
      s.connect("no-key", { key: none }),
      s.connect("no-token", { token: none }),
      s.connect("no-id", { id: none }),
      s.connect("empty-id", { id: "" }),
      s.connect("key-alone", { id: none, token: none }),
      s.connect("no-token-wrong-key", { token: none, key: "wrong" }),
      s.connect("wrong-key", { key: "wrong" }),
      s.connect("key-in-capitals", { key: "PEERJS" }),
    ];
    for (const client of clients) await client.ended();
    // Of two values for one parameter the last one counts.
    const twice = s.at("twice", `/peerjs?id=x&key=wrong&token=t&key=peerjs&id=${s.id("twice")}`);
    await twice.gets(1);
    await twice.settle(twice);
    const spaced = s.at("with blanks", `/peerjs?key=peerjs&id=${s.id("with+%62lanks")}&token=t`);
    await spaced.gets(1);
    await spaced.settle(spaced);
  },

  async "id-taken"(s) {
    const first = await s.open("a");
    const second = s.connect("a", { token: "another" });
    await second.ended();
    await first.settle(first);
    // Ids are compared with their case.
    await s.open("other-case", { id: s.id("A") });
  },

  async "same-token"(s) {
    const other = await s.open("other");
    const first = await s.open("a");
    const second = s.connect("a");
    // No second OPEN, and nothing on the first connection, which still speaks as `a`.
    await second.upgraded();
    await second.settle(second);
    await other.settle(second);
    first.send({ type: "OFFER", dst: s.id("other"), payload: "from the first" });
    await other.gets(2);
    second.send({ type: "OFFER", dst: s.id("other"), payload: "from the second" });
    await other.gets(3);
    // The first one's end is not the client's.
    await first.close();
    await other.settle(second);
    await second.close();
    const third = await s.open("a", { token: "another" });
    await other.settle(third);
  },

  async relay(s) {
    const a = await s.open("a");
    const b = await s.open("b");
    const forged = { src: "HOST", from: "HOST", extra: [1], dst: s.id("b") };
    for (const type of ["OFFER", "ANSWER", "CANDIDATE", "LEAVE", "EXPIRE"]) {
      a.send({ ...forged, type, payload: { type, nested: { list: [1, "ü", null, true] } } });
    }
    for (const payload of [null, "text", 0, -1.5, false, [], {}, "\u0000\ud83d\ude00"]) {
      a.send({ type: "OFFER", dst: s.id("b"), payload });
    }
    a.send({ type: "OFFER", dst: s.id("b") });
    a.send({ payload: { order: 1 }, dst: s.id("b"), type: "ANSWER" });
    a.send({ type: "OFFER", dst: s.id("a"), payload: "to myself" });
    await a.settle(b);
    await a.settle(a);
  },

  async "binary-frames"(s) {
    const a = await s.open("a");
    a.send(Buffer.from(JSON.stringify({ type: "OFFER", dst: s.id("a"), payload: "ü" })));
    await a.settle(a);
  },

  async dropped(s) {
    const a = await s.open("a");
    const b = await s.open("b");
    const dst = s.id("b");
    for (const type of ["REJECT", "OPEN", "ERROR", "ID-TAKEN", "offer", "", 1, null, undefined]) {
      a.send({ type, dst, payload: "dropped" });
    }
    a.send({ type: "HEARTBEAT" });
    a.send({ type: "HEARTBEAT", dst, payload: "dropped" });
    a.send({ type: "OFFER", payload: "no target" });
    a.send({ type: "OFFER", dst: "", payload: "empty target" });
    a.send({ type: "OFFER", dst: null, payload: "null target" });
    a.send({ type: "EXPIRE", payload: "no target" });
    a.send({ type: "LEAVE", dst: s.id("nobody") });
    a.send({ type: "EXPIRE", dst: s.id("nobody") });
    for (const text of ["", "{", "null", "1", '"OFFER"', "[]", `["OFFER","a","${dst}",1]`, "{}"]) {
      a.send(text);
    }
    a.send(`\ufeff{"type":"OFFER","dst":"${dst}"}`);
    a.send({ id: s.id("a") });
    await a.settle(b);
    await a.settle(a);
  },

  async late(s) {
    const a = await s.open("a");
    const b = await s.open("b");
    a.send({ type: "OFFER", dst: s.id("late"), payload: 1 });
    await a.settle(a);
    b.send({ type: "OFFER", dst: s.id("late"), payload: 2 });
    await b.settle(b);
    a.send({ type: "LEAVE", dst: s.id("late") });
    a.send({ type: "CANDIDATE", dst: s.id("late"), payload: 3 });
    a.send({ type: "ANSWER", dst: s.id("late"), src: "forged", payload: 4 });
    await a.settle(a);
    const late = await s.open("late");
    await a.settle(late);
    // What was delivered does not expire, and is not delivered twice.
    await late.close();
    const again = await s.open("late", { token: "another" });
    await a.settle(again);
    await sleep(7_000);
    await a.settle(a);
    await b.settle(b);
  },

  async "late-from-one-who-left"(s) {
    const a = await s.open("a");
    a.send({ type: "OFFER", dst: s.id("late"), payload: 1 });
    await a.settle(a);
    await a.close();
    const late = await s.open("late");
    await late.settle(late);
  },

  async expire(s) {
    const a = await s.open("a");
    const start = Date.now();
    for (const dst of ["nobody", "no-one", "nobody"]) {
      for (const type of ["OFFER", "CANDIDATE"]) a.send({ type, dst: s.id(dst) });
    }
    await a.gets(3, 30_000);
    // A timer of its own may be a little early. That ours is not late is tested in virtual time.
    a.note({ not_before_5_s: Date.now() - start > 4_900 });
    await sleep(2_000);
    await a.settle(a);
  },

  async "leave-without-target"(s) {
    const a = await s.open("a");
    await a.settle(a);
    a.send({ type: "LEAVE" });
    // The connection stays, the id is free.
    const b = await s.open("b");
    await a.taken();
    const next = await s.open("a", { token: "another" });
    await b.settle(next);
  },

  async "a-socket-closes"(s) {
    const a = await s.open("a");
    const b = await s.open("b");
    await a.settle(b);
    await b.close();
    const again = await s.open("b", { token: "another" });
    await a.settle(again);
    await a.settle(a);
  },

  async "wrong-path"(s) {
    const query = `?key=peerjs&id=${s.id("a")}&token=t`;
    for (const path of ["/", "/other", "/peerjs/", "/PEERJS", "/peerjsx", "/peerjs/id"]) {
      await s.at(path, path + query).ended();
    }
  },

  async http(s) {
    const one = await s.http("GET", "/peerjs/id?ts=1&version=1.5.5", uuid);
    const two = await s.http("GET", "/peerjs/id", uuid);
    s.answers.push({ ids_differ: one !== two });
    await s.http("GET", "/other-key/id", uuid);
    await s.http("GET", "/PEERJS/ID/", uuid);
    await s.http("GET", "/peerjs/peers");
    await s.http("GET", "/", (body) =>
      Object.entries(JSON.parse(body)).map(([key, value]) => [key, typeof value]),
    );
    for (const path of ["/peerjs", "/nowhere", "/id", "/peerjs/id/more", "/peerjs/offer"]) {
      await s.http("GET", path);
    }
    await s.http("POST", "/peerjs/id");
    await s.http("OPTIONS", "/peerjs/id");
  },
};

/** Where ours differs, and says so in the documentation of `Server`. */
const exceptions = {
  // PeerJS appends `peerjs` to a configured path.
  async "any-mount"(s) {
    for (const path of ["/peerjs/peerjs", "/some/where/peerjs"]) {
      const client = s.at(path, `${path}?key=peerjs&id=${s.id(path)}&token=t`);
      await client.until("end", () => client.over || client.frames() > 0);
    }
    await s.http("GET", "/peerjs/peerjs/id", uuid);
    await s.http("GET", "/peerjs/");
  },

  // Clayground's LAN client.
  async "bare-id"(s) {
    const client = s.connect("a", { key: undefined, token: undefined });
    await client.gets(1);
    if (client.refusedByFrame()) return client.ended();
    client.send({ id: s.id("a") });
    await client.settle(client);
  },

  async "id-limits"(s) {
    for (const [name, id] of [["long", "x".repeat(129)], ["umlaut", "ä"], ["control", "\u0001"]]) {
      const client = s.connect(name, { id: s.id("") + id });
      await client.gets(1);
      if (client.refusedByFrame()) await client.ended();
    }
  },

  async "frame-limit"(s) {
    const a = await s.open("a");
    a.send({ type: "OFFER", dst: s.id("a"), payload: "x".repeat(64 * 1024) });
    await a.until("end", () => a.over || a.frames() > 1);
    for (const one of a.seen) {
      if (one.frame?.payload?.length) one.frame.payload = `${one.frame.payload.length} characters`;
    }
  },

  // At PeerServer a connection that gave its id up speaks as whoever has it now.
  async "speaks-after-leave"(s) {
    const other = await s.open("other");
    const a = await s.open("a");
    a.send({ type: "LEAVE" });
    a.send({ type: "OFFER", dst: s.id("other"), payload: "from nobody" });
    await a.taken();
    await other.settle(other);
  },

  async "member-twice"(s) {
    const a = await s.open("a");
    a.send(`{"type":"LEAVE","type":"OFFER","dst":"${s.id("a")}"}`);
    await a.settle(a);
  },
};

/** For a server with a short `alive_timeout`. */
const alive = {
  async silent(s) {
    const timeout = Number(options["alive-timeout"]);
    const beats = await s.open("beats");
    const talks = await s.open("talks");
    const timer = setInterval(() => {
      beats.send({ type: "HEARTBEAT" });
      if (!talks.over) talks.send({ type: "OFFER", dst: s.id("beats"), payload: "no heartbeat" });
    }, timeout / 4);
    await talks.ended(timeout * 2 + 1_000);
    clearInterval(timer);
    // How many came in between is a matter of timing.
    beats.seen = beats.seen.filter((one) => one.frame?.payload !== "no heartbeat");
    await s.open("talks", { token: "another" });
    await beats.settle(beats);
  },
};

const wanted = options["alive-timeout"] ? alive : options.exceptions ? exceptions : same;
const scenarios = Object.entries(wanted).map(([name, play]) => ({ s: new Scenario(name), play }));
// Together, because some take seconds; each has ids of its own.
await Promise.all(
  scenarios.map(async ({ s, play }) => {
    try {
      await play(s);
    } catch (error) {
      s.answers.push({ failed: String(error) });
      process.exitCode = 1;
    }
  }),
);
for (const { s } of scenarios) s.print();
for (const { s } of scenarios) for (const client of s.clients) client.socket.terminate();
process.exit();
