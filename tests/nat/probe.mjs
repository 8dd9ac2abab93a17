// Sends and receives UDP for the tests, in whichever namespace it runs: a line of JSON in, such as
// [1, "mapped", "a", "192.0.2.1", 3478], is a line of JSON out, with the same number. It knows nothing
// of wattle.

import { createSocket } from "node:dgram";
import { connect as connectTcp, createServer, isIPv6 } from "node:net";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";

const COOKIE = Buffer.from([0x21, 0x12, 0xa4, 0x42]);
const sockets = new Map();

const socket = (name) => {
  const found = sockets.get(name);
  if (!found) throw new Error(`no socket ${name}`);
  return found;
};

const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** `address:port`, as everybody writes it. */
const named = (address, port) => {
  const host = isIPv6(address) ? new URL(`http://[${address}]`).hostname : address;
  return `${host}:${port}`;
};

/** XOR-MAPPED-ADDRESS of a Binding response (RFC 8489, 14.2), as `address:port`. */
const mapped = (message) => {
  for (let at = 20; at + 4 <= message.length; ) {
    const type = message.readUInt16BE(at);
    const length = message.readUInt16BE(at + 2);
    if (type === 0x0020) {
      const port = message.readUInt16BE(at + 6) ^ 0x2112;
      const key = message.subarray(4, 20);
      const bytes = message.subarray(at + 8, at + 4 + length).map((byte, i) => byte ^ key[i]);
      if (bytes.length === 4) return named(bytes.join("."), port);
      const groups = [];
      for (let i = 0; i < 16; i += 2) groups.push((bytes[i] * 256 + bytes[i + 1]).toString(16));
      return named(groups.join(":"), port);
    }
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  return null;
};

const commands = {
  /** Binds a socket; gives its port. */
  bind: (name, address = "0.0.0.0", port = 0) =>
    new Promise((done, failed) => {
      const type = isIPv6(address) ? "udp6" : "udp4";
      const bound = createSocket(type);
      const received = [];
      bound.on("error", failed);
      bound.on("message", (bytes, { address: from, port: fromPort }) => {
        received.push({ bytes, from: named(from, fromPort) });
      });
      bound.bind(port, address, () => {
        sockets.set(name, { bound, received });
        done(bound.address().port);
      });
    }),

  /** The address that a STUN server sees this socket at; null if it does not answer within so many milliseconds. */
  mapped: async (name, address, port, within) => {
    const { bound, received } = socket(name);
    const transaction = randomBytes(12);
    const request = Buffer.concat([Buffer.from([0, 1, 0, 0]), COOKIE, transaction]);
    const isAnswer = ({ bytes }) =>
      bytes.length >= 20 && bytes.readUInt16BE(0) === 0x0101 && bytes.subarray(8, 20).equals(transaction);
    for (const end = Date.now() + within; Date.now() < end; ) {
      bound.send(request, port, address);
      for (let wait = 0; wait < 30; wait += 1) {
        await sleep(10);
        const answer = received.find(isAnswer);
        if (answer) return mapped(answer.bytes);
      }
    }
    return null;
  },

  /** Closes a socket. */
  close: (name) =>
    new Promise((done) => {
      socket(name).bound.close(() => done(true));
      sockets.delete(name);
    }),

  /** Sends a text. */
  send: (name, text, address, port) =>
    new Promise((done, failed) => {
      socket(name).bound.send(text, port, address, (error) => (error ? failed(error) : done(true)));
    }),

  /** Whether a text arrives within so many milliseconds: from where, or null. */
  receive: async (name, text, within) => {
    const { received } = socket(name);
    for (const end = Date.now() + within; ; await sleep(5)) {
      const found = received.find(({ bytes }) => bytes.toString() === text);
      if (found) return found.from;
      if (Date.now() > end) return null;
    }
  },

  /**
   * What ICE does, in its simplest form: sends to all these addresses, answers whoever sends, and
   * sends there, too. Whether an answer came within so many milliseconds. It goes on for the other side's
   * sake until the socket is closed.
   */
  punch: async (name, key, addresses, within) => {
    const { bound, received } = socket(name);
    const ask = `${key} ask`;
    const answer = `${key} answer`;
    const targets = new Set(addresses);
    const send = (text, to) => {
      const at = to.lastIndexOf(":");
      const host = to.slice(0, at).replace(/[[\]]/g, "");
      // There may be no route to some of these.
      bound.send(text, Number(to.slice(at + 1)), host, () => {});
    };
    let answered = false;
    let seen = 0;
    const round = () => {
      for (; seen < received.length; seen += 1) {
        const text = received[seen].bytes.toString();
        if (text === answer) answered = true;
        if (text !== ask) continue;
        targets.add(received[seen].from);
        send(answer, received[seen].from);
      }
      for (const target of targets) send(ask, target);
    };
    const rounds = setInterval(round, 50);
    bound.once("close", () => clearInterval(rounds));
    for (const end = Date.now() + within; !answered && Date.now() < end; ) await sleep(50);
    return answered;
  },

  /** Whether a TCP connection opens. */
  tcp: (address, port) =>
    new Promise((done) => {
      const stream = connectTcp({ host: address, port, timeout: 1000 });
      const end = (outcome) => (stream.destroy(), done(outcome));
      stream.once("connect", () => end(true));
      stream.once("error", () => end(false));
      stream.once("timeout", () => end(false));
    }),

  /** Accepts TCP connections and says nothing; gives the port. */
  listen: (address) =>
    new Promise((done, failed) => {
      const server = createServer((stream) => stream.on("error", () => {}));
      server.once("error", failed);
      server.listen(0, address, () => done(server.address().port));
    }),
};

const obey = async (line) => {
  const [id, name, ...args] = JSON.parse(line);
  let out;
  try {
    out = { id, answer: await commands[name](...args) };
  } catch (error) {
    out = { id, error: `${line}: ${error.message}` };
  }
  process.stdout.write(`${JSON.stringify(out)}\n`);
};

const lines = createInterface({ input: process.stdin });
lines.on("line", obey);
lines.once("close", () => process.exit());
