// The nodes of a script as pages.

import { Page } from "../browser/pages.mjs";

/** As `--grace` of the tests with processes. */
const timeouts = { grace: 6_000 };

/** The command's names of events, of which a page's types are made. */
const NAMES = [
  "network_created", "node_joined", "node_suspect", "node_lost", "node_back", "node_route", "node_stalled",
  "node_left", "host_lost", "signaling_lost", "signaling_restored", "connect_report",
];
const named = new Map(NAMES.map((name) => [name.replaceAll("_", ""), name]));

export class PageNode {
  #opened;
  #page;
  #url;

  /** A node of this name, with the signaling server at `url`. */
  constructor(t, browser, origin, name, url) {
    this.#opened = Page.open(t, browser, origin, name).then((page) => (this.#page = page));
    this.#url = url;
  }

  get events() {
    return (this.#page?.events ?? []).map(({ event, ...rest }) => ({ event: named.get(event) ?? event, ...rest }));
  }

  ids = [];

  async #start(role, code, options) {
    const page = await this.#opened;
    const begun = await page.start(role, code, { signalingUrl: this.#url, timeouts, ...options });
    if (begun.id) this.ids.push(begun.id);
    return begun.code;
  }

  host(topology, maxNodes, autoRelay) {
    return this.#start("host", undefined, { topology, maxNodes, autoRelay });
  }

  join(code) {
    return this.#start("join", code, {});
  }

  /** Calls a method; an error that it throws is an event, as the command's. */
  async #call(command, method, ...args) {
    const page = await this.#opened;
    const kind = await page.page.evaluate(
      ([method, args]) => {
        const given = args.map((each) => each.text === undefined ? each.id : new TextEncoder().encode(each.text));
        try {
          if (!window.network) return "not_joined";
          void window.network[method](...given);
        } catch (error) {
          return error.kind ?? String(error);
        }
      },
      [method, args],
    );
    if (kind) page.events.push({ event: "error", kind, command });
  }

  broadcast(text) {
    return this.#call("broadcast", "broadcast", { text });
  }

  state(text) {
    return this.#call("state", "broadcastState", { text });
  }

  send(id, text) {
    return this.#call("send", "sendTo", { id }, { text });
  }

  kick(id) {
    return this.#call("kick", "kick", { id });
  }

  leave() {
    return this.#call("leave", "leave");
  }

  /** The process behind the page goes, so nothing of it can say goodbye. */
  async crash() {
    const { page } = await this.#opened;
    const crashed = new Promise((done) => page.once("crash", done));
    const devtools = await page.context().newCDPSession(page);
    devtools.send("Page.crash").catch(() => {});
    await crashed;
  }
}
