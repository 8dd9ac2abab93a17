// The processes that these tests are about: `wattle` with its JSON interface, and the real
// PeerServer. Both end with the test that started them.
//
// Environment: WATTLE and PEERSERVER are the paths of the two programs; WATTLE_ADDRESS is the one that nodes
// use (default: loopback).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { createServer, connect } from "node:net";
import { createInterface } from "node:readline";

export const program = (name) => {
  const path = process.env[name];
  if (!path) throw new Error(`${name} is not set: run these tests by 'tests/run'`);
  return path;
};

export const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Whether this port of 127.0.0.1 can be listened on. */
const isFree = (port) =>
  new Promise((done) => {
    const server = createServer().once("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });

// Below those that the system gives to whoever does not choose, and apart from those of the other test files.
let nextPort = process.pid * 16;

/** A port that nothing listens on, and that nobody else takes meanwhile. */
export const freePort = async () => {
  for (;;) {
    const port = 10_000 + (nextPort % 22_000);
    nextPort += 1;
    if (await isFree(port)) return port;
  }
};

/** Whether something listens on this port of 127.0.0.1. */
export const isListening = (port) =>
  new Promise((done) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), done(true)));
    socket.once("error", () => done(false));
  });

/** Waits until `condition` holds; fails after `milliseconds`, saying `what` did not happen. */
export const until = async (what, milliseconds, condition) => {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `${what}: not within ${milliseconds} ms`);
    await sleep(50);
  }
};

/** Does something again and again until it has `arrived`: a state may be lost on its way. */
export const again = (what, act, arrived) =>
  until(what, 20_000, async () => {
    if (await arrived()) return true;
    await act();
  });

/** A process of a program with `wattle`'s JSON interface: commands go in, events come out. */
export class Process {
  events = [];
  #name;
  #child;
  #errors = "";
  #waiting = new Set();
  #exit;
  // It has ended, and all that it wrote has been read.
  #closed = false;

  /** Starts a command. `t` is the test that it ends with; `name` is for its messages. */
  constructor(t, name, command, args, environment = {}) {
    this.#name = name;
    const env = { ...process.env, ...environment };
    this.#child = spawn(command, args, { env, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#errors += text));
    // A process that was killed does not read: that is what some tests are about.
    this.#child.stdin.on("error", () => {});
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (line) => this.#take(line));
    this.#exit = new Promise((done, failed) => {
      this.#child.once("error", failed);
      this.#child.once("close", (status, signal) => {
        done({ status, signal });
        this.#closed = true;
        this.#wake();
      });
    });
    this.#exit.catch(() => {});
    t.after(async () => {
      this.kill();
      await this.#exit;
    });
  }

  #take(line) {
    let event;
    try {
      event = JSON.parse(line);
    } catch {
      // Kept, so that every wait fails with it.
      event = { event: "NOT JSON", line };
    }
    this.events.push({ ...event, at: Date.now() });
    this.#wake();
  }

  #wake() {
    for (const look of this.#waiting) look();
  }

  get pid() {
    return this.#child.pid;
  }

  get #ended() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Sends a command, such as `broadcast hello`. */
  command(text) {
    this.#child.stdin.write(`${text}\n`);
  }

  /** Shows a state until all `others` have had it from `from`, which is our id. */
  state(text, from, ...others) {
    const has = (one) => one.all("state").some((each) => each.from === from && each.text === text);
    const show = () => this.command(`state ${text}`);
    return again(`the state ${text} of ${this.#name}`, show, () => others.every(has));
  }

  /** Whether it has had a state of this node. */
  hasStateOf(id) {
    return this.all("state").some(({ from }) => from === id);
  }

  /** How many events there were so far; for `event` with `after`. */
  get mark() {
    return this.events.length;
  }

  /** The events of these names so far. */
  all(...names) {
    return this.events.filter((each) => names.includes(each.event));
  }

  /**
   * The first event of this name, with these members, after the mark `after`; waits for it at most
   * `within` milliseconds.
   */
  async event(name, { with: members = {}, after = 0, within = 40_000 } = {}) {
    const matches = (each) =>
      each.event === name &&
      Object.entries(members).every(([key, value]) => each[key] === value);
    let timer;
    try {
      return await new Promise((done, failed) => {
        const look = () => {
          const found = this.events.slice(after).find(matches);
          if (found) return done(found);
          if (this.#closed) failed(this.#without(name, members, "before it ended"));
        };
        timer = setTimeout(
          () => failed(this.#without(name, members, `within ${within} ms`)),
          within,
        );
        this.#waiting.add(look);
        look();
        this.#exit.catch(failed);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #without(name, members, when) {
    const wanted = JSON.stringify({ event: name, ...members });
    const seen = this.events.map((each) => JSON.stringify(each)).join("\n  ");
    return new Error(
      `${this.#name}: no ${wanted} ${when}; it said:\n  ${seen}\nstderr:\n${this.#errors}`,
    );
  }

  /**
   * Its network, once it has joined and `count` nodes are there. A host that is not wattle's may name the others
   * after we have joined.
   */
  async network(count) {
    const { nodes } = await this.event("joined");
    const all = () => new Set([...nodes, ...this.all("node_joined").map(({ node }) => node)]);
    await until(`${this.#name} is one of ${count}`, 15_000, () => all().size >= count);
    return all();
  }

  /** Waits for its end; gives the exit status. */
  async exit({ within = 40_000 } = {}) {
    let timer;
    const late = new Promise((_, failed) => {
      timer = setTimeout(
        () => failed(new Error(`${this.#name}: it has not ended within ${within} ms`)),
        within,
      );
    });
    try {
      const { status, signal } = await Promise.race([this.#exit, late]);
      assert.equal(signal, null, `${this.#name} was ended by ${signal}\n${this.#errors}`);
      return status;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits for a failed end: an error of this kind, and exit status 1. */
  async failsWith(kind, { within = 40_000 } = {}) {
    const error = await this.event("error", { within });
    assert.equal(error.kind, kind, `${this.#name}: ${JSON.stringify(error)}`);
    assert.ok(error.message.length > 0, "an error says something to a person, too");
    assert.equal(await this.exit(), 1, `${this.#name}: a failed end has exit status 1`);
    return error;
  }

  /** Ends it at once; it cannot say goodbye. */
  kill() {
    if (!this.#ended) this.#child.kill("SIGKILL");
  }

  /** Stops it in its tracks: it lives, and does nothing. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  /** How many files and sockets it has open. Where there is no /proc, always 0. */
  openFiles() {
    try {
      return readdirSync(`/proc/${this.pid}/fd`).length;
    } catch {
      return 0;
    }
  }
}

/** One `wattle` process, with JSON in and out, on one address alone. */
export class Wattle extends Process {
  constructor(t, name, ...args) {
    // Who is lost for good has left a second later: the default, 15 s, would only cost time here.
    const address = process.env.WATTLE_ADDRESS ?? "127.0.0.1";
    const node = ["--no-ice", "--bind", address, "--grace", "6", "--json"];
    super(t, name, program("WATTLE"), [...args, ...node]);
  }
}

/** The real PeerServer, on a port that it keeps over restarts. */
export class PeerServer {
  #child;
  #args;

  constructor(port, args) {
    this.port = port;
    this.#args = args;
  }

  static async start(t, ...args) {
    const server = new PeerServer(await freePort(), args);
    t.after(() => server.stop());
    await server.restart();
    return server;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/peerjs`;
  }

  async restart() {
    const args = [program("PEERSERVER"), "--host", "127.0.0.1", "--port", String(this.port)];
    this.#child = spawn(process.execPath, [...args, ...this.#args], { stdio: "ignore" });
    await until("PeerServer listens", 30_000, () => isListening(this.port));
  }

  /** Kills it and waits until it is gone. */
  async stop() {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill("SIGKILL");
    await gone;
  }
}

/** The two ways to find each other: the host's own server on the LAN, and PeerServer. */
export const WAYS = {
  "a LAN code": async () => ({ hosting: ["--lan"], joining: [] }),
  PeerServer: async (t) => {
    const server = await PeerServer.start(t);
    return { hosting: ["--signal", server.url], joining: ["--signal", server.url] };
  },
};

/** A host that can be joined, and its code. */
export const host = async (t, ...args) => {
  const node = new Wattle(t, "host", "host", ...args);
  const { code } = await node.event("network_created");
  return { node, code };
};

/** A joiner that has joined; `id` is its own node id, `nodes` is the roster at that time. */
export const join = async (t, name, code, ...args) => {
  const node = new Wattle(t, name, "join", code, ...args);
  const joined = await node.event("joined");
  return { node, id: joined.node, nodes: joined.nodes, timing: joined.timing };
};
