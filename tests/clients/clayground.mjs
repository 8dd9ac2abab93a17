// A Clayground node on another WebRTC stack (one of `stacks/`), as those that exist are: JSON in binary
// messages, the channels `data` and `state` on one connection, made in-band by the joiner.

import { WebSocket } from "ws";

/** Collects what comes, and lets others wait for it. */
class Heard {
  all = [];
  #waiting = new Set();

  push(one) {
    this.all.push(one);
    for (const look of this.#waiting) look();
  }

  /** The first that matches; fails after 20 s. */
  find(what, matches) {
    return new Promise((done, failed) => {
      const late = () => failed(new Error(`no ${what}; it heard\n${this.#text()}`));
      const timer = setTimeout(late, 20_000);
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

const bytes = (frame) => Buffer.from(JSON.stringify(frame));

/** One node; `id` is its name at the signaling server, `connect` makes connections. */
export class Clayground {
  heard = new Heard();
  #connect;
  #socket;
  #links = new Map();
  #state = 0;

  constructor(t, connect, url, id) {
    this.#connect = connect;
    this.id = id;
    this.#socket = new WebSocket(`${url}?key=peerjs&id=${id}&token=t${id}`);
    this.#socket.on("message", (text) => this.#signal(JSON.parse(text)));
    const beat = setInterval(() => this.#signalRaw({ type: "HEARTBEAT" }), 5_000);
    t.after(() => {
      clearInterval(beat);
      this.#socket.terminate();
      this.leave();
    });
    this.open = this.heard.find("OPEN", (one) => one.type === "OPEN");
  }

  /** Joins the network with this code. */
  async join(code) {
    await this.open;
    const connectionId = `dc_${Math.random().toString(36).slice(2)}`;
    const link = this.#link(code, connectionId);
    this.#use(link, link.pc.make("data"));
    this.#use(link, link.pc.make("state", { ordered: false, maxRetransmits: 0 }));
    this.#send("OFFER", link, {
      sdp: await link.pc.offer(),
      label: "data",
      reliable: true,
      serialization: "json",
    });
  }

  /** Sends a frame to all that it has a link to, on the channel with this label. */
  say(frame, label = "data") {
    for (const { channels } of this.#links.values()) channels.get(label)?.say(bytes(frame));
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
    const link = { peer, connectionId, channels: new Map(), early: [], described: false };
    const told = (candidate) => this.#send("CANDIDATE", link, { candidate });
    link.pc = this.#connect(told, (channel, data) => this.#hear(link, channel, data));
    this.#links.set(`${peer} ${connectionId}`, link);
    return link;
  }

  #use(link, channel) {
    link.channels.set(channel.label, channel);
  }

  #hear(link, channel, data) {
    if (typeof data === "string") throw new Error("a page would have lost this text message");
    const frame = JSON.parse(data.toString());
    if (frame.t === "p") channel.say(bytes({ t: "P", ts: frame.ts }));
    else this.heard.push({ ...frame, on: channel.label, of: link.peer });
  }

  async #signal({ type, src, payload }) {
    if (type === "OFFER") {
      const link = this.#link(src, payload.connectionId);
      // It is a host: what the joiner opens is taken, and answered with a roster.
      link.pc.taken((channel) => {
        this.#use(link, channel);
        if (channel.label === "data") this.#welcome(link);
      });
      const sdp = await link.pc.answer(payload.sdp);
      this.#send("ANSWER", link, { sdp, browser: "libdatachannel" });
      await this.#described(link);
    } else if (type === "ANSWER") {
      const link = this.#links.get(`${src} ${payload.connectionId}`);
      await link?.pc.accept(payload.sdp);
      if (link) await this.#described(link);
    } else if (type === "CANDIDATE") {
      const link = this.#links.get(`${src} ${payload.connectionId}`);
      if (link?.described) await link.pc.add(payload.candidate);
      else link?.early.push(payload.candidate);
    } else {
      this.heard.push({ type });
    }
  }

  async #described(link) {
    link.described = true;
    for (const candidate of link.early) await link.pc.add(candidate);
  }

  #welcome(link) {
    const others = [...this.#links.values()].filter((one) => one !== link && one.channels.size);
    const nodes = others.map((one) => one.peer);
    link.channels.get("data").say(bytes({ t: "y", sys: "roster", nodes }));
    for (const other of others) {
      const joined = { t: "y", sys: "node_joined", nodeId: link.peer };
      other.channels.get("data")?.say(bytes(joined));
    }
    this.heard.push({ welcomed: link.peer });
  }

  /** As a host: passes on what a joiner said. */
  relay(frame) {
    const { on, of, ...rest } = frame;
    for (const { peer, channels } of this.#links.values()) {
      if (peer !== of) channels.get(on)?.say(bytes({ ...rest, from: of }));
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
