// A Clayground node on another WebRTC stack (werift), as PROTOCOL.md describes those that exist: JSON in
// binary messages, the channels `data` and `state` on one connection, made in-band by the joiner.

import { createSocket } from "node:dgram";

import { RTCPeerConnection } from "werift";
import { WebSocket } from "ws";

/** Collects what comes, and lets others wait for it. */
class Heard {
  all = [];
  #waiting = new Set();

  push(one) {
    this.all.push(one);
    for (const look of this.#waiting) look();
  }

  /** The first that matches; fails after 15 s. */
  find(what, matches) {
    return new Promise((done, failed) => {
      const late = () => failed(new Error(`no ${what}; it heard\n${this.#text()}`));
      const timer = setTimeout(late, 15_000);
      const look = () => {
        const found = this.all.find(matches);
        if (!found) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        done(found);
      };
      this.#waiting.add(look);
      look();
    });
  }

  #text() {
    return this.all.map((one) => JSON.stringify(one)).join("\n");
  }
}

// werift asks a STUN server, one on the internet if it is given none, and waits for it: this one answers.
const stun = createSocket("udp4").unref();
stun.on("message", (request, { address, port }) => {
  const answer = Buffer.alloc(32);
  request.copy(answer, 0, 0, 20);
  answer.writeUInt16BE(0x0101, 0);
  answer.writeUInt16BE(12, 2);
  // XOR-MAPPED-ADDRESS, RFC 8489 section 14.2.
  answer.writeUInt32BE(0x0020_0008, 20);
  answer.writeUInt16BE(0x0001, 24);
  answer.writeUInt16BE(port ^ 0x2112, 26);
  const cookie = [0x21, 0x12, 0xa4, 0x42];
  address.split(".").forEach((part, at) => answer.writeUInt8(Number(part) ^ cookie[at], 28 + at));
  stun.send(answer, port, address);
});
await new Promise((done) => stun.bind(0, "0.0.0.0", done));

const connection = () =>
  new RTCPeerConnection({
    iceServers: [{ urls: `stun:127.0.0.1:${stun.address().port}` }],
    iceUseIpv6: false,
    bundlePolicy: "max-bundle",
  });

const described = ({ localDescription: { type, sdp } }) => ({ type, sdp });

const bytes = (frame) => Buffer.from(JSON.stringify(frame));

/** One node; `id` is its name at the signaling server. */
export class Clayground {
  heard = new Heard();
  #socket;
  #links = new Map();
  #state = 0;

  constructor(t, url, id) {
    this.id = id;
    this.#socket = new WebSocket(`${url}?key=peerjs&id=${id}&token=t${id}`);
    this.#socket.on("message", (text) => this.#signal(JSON.parse(text)));
    const beat = setInterval(() => this.#signalRaw({ type: "HEARTBEAT" }), 5_000);
    t.after(() => {
      clearInterval(beat);
      this.#socket.terminate();
      for (const { pc } of this.#links.values()) pc.close();
    });
    this.open = this.heard.find("OPEN", (one) => one.type === "OPEN");
  }

  /** Joins the network with this code. */
  async join(code) {
    await this.open;
    const connectionId = `dc_${Math.random().toString(36).slice(2)}`;
    const link = this.#link(code, connectionId);
    this.#channel(link, link.pc.createDataChannel("data"));
    const state = { ordered: false, maxRetransmits: 0 };
    this.#channel(link, link.pc.createDataChannel("state", state));
    await link.pc.setLocalDescription(await link.pc.createOffer());
    this.#send("OFFER", link, {
      sdp: described(link.pc),
      label: "data",
      reliable: true,
      serialization: "json",
    });
  }

  /** Sends a frame to all that it has a link to, on the channel with this label. */
  say(frame, label = "data") {
    for (const { channels } of this.#links.values()) channels.get(label)?.send(bytes(frame));
  }

  message(payload) {
    this.say({ t: "m", d: payload });
  }

  state(payload) {
    this.#state += 1;
    this.say({ t: "s", q: this.#state, d: payload }, "state");
  }

  /** The frame of this type that it hears, with whatever matches. */
  frame(t, matches = () => true) {
    return this.heard.find(`frame ${t}`, (one) => one.t === t && matches(one));
  }

  leave() {
    for (const { pc } of this.#links.values()) pc.close();
  }

  #link(peer, connectionId) {
    const pc = connection();
    const link = { pc, peer, connectionId, channels: new Map(), early: [] };
    this.#links.set(`${peer} ${connectionId}`, link);
    pc.onIceCandidate.subscribe((candidate) => {
      if (candidate) this.#send("CANDIDATE", link, { candidate: candidate.toJSON() });
    });
    return link;
  }

  #channel(link, channel) {
    link.channels.set(channel.label, channel);
    channel.onMessage.subscribe((data) => {
      const frame = JSON.parse(data.toString());
      if (typeof data === "string") throw new Error("a page would have lost this text message");
      if (frame.t === "p") channel.send(bytes({ t: "P", ts: frame.ts }));
      else this.heard.push({ ...frame, on: channel.label, of: link.peer });
    });
  }

  async #signal({ type, src, payload }) {
    if (type === "OFFER") {
      const link = this.#link(src, payload.connectionId);
      // It is a host: what the joiner opens is taken, and answered with a roster.
      link.pc.onDataChannel.subscribe((channel) => {
        this.#channel(link, channel);
        if (channel.label === "data") this.#welcome(link);
      });
      await link.pc.setRemoteDescription(payload.sdp);
      await link.pc.setLocalDescription(await link.pc.createAnswer());
      const sdp = described(link.pc);
      this.#send("ANSWER", link, { sdp, browser: "libdatachannel" });
      await this.#described(link);
    } else if (type === "ANSWER") {
      const link = this.#links.get(`${src} ${payload.connectionId}`);
      await link?.pc.setRemoteDescription(payload.sdp);
      if (link) await this.#described(link);
    } else if (type === "CANDIDATE") {
      const link = this.#links.get(`${src} ${payload.connectionId}`);
      if (link?.described) await link.pc.addIceCandidate(payload.candidate);
      else link?.early.push(payload.candidate);
    } else {
      this.heard.push({ type });
    }
  }

  async #described(link) {
    link.described = true;
    for (const candidate of link.early) await link.pc.addIceCandidate(candidate);
  }

  #welcome(link) {
    const others = [...this.#links.values()].filter((one) => one !== link && one.channels.size);
    const nodes = others.map((one) => one.peer);
    link.channels.get("data").send(bytes({ t: "y", sys: "roster", nodes }));
    for (const other of others) {
      const joined = { t: "y", sys: "node_joined", nodeId: link.peer };
      other.channels.get("data")?.send(bytes(joined));
    }
    this.heard.push({ welcomed: link.peer });
  }

  /** As a host: passes on what a joiner said. */
  relay(frame) {
    const { on, of, ...rest } = frame;
    for (const { peer, channels } of this.#links.values()) {
      if (peer !== of) channels.get(on)?.send(bytes({ ...rest, from: of }));
    }
  }

  #send(type, link, payload) {
    const { peer: dst, connectionId } = link;
    this.#signalRaw({ type, dst, payload: { ...payload, type: "data", connectionId } });
  }

  #signalRaw(frame) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}
