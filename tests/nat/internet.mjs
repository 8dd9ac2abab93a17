// A small internet of network namespaces: servers and a router in the middle, and around it sites,
// each behind a gateway of some kind. To be used inside `tests/nat/sandbox`.
//
//   servers 192.0.2.1, 192.0.2.2, …   2001:db8::1, 2001:db8::2, …     (namespace "net")
//      │
//      ├── gateway 203.0.113.K, its LAN 192.168.K.0/24 (and 2001:db8:K::/64 with IPv6)
//      │      └── node 192.168.K.2
//      └── …
//
// All of these are addresses for documentation and private use; none is anybody's.

import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROBE = fileURLToPath(new URL("probe.mjs", import.meta.url));
const UNTIL_UP = fileURLToPath(new URL("../until-up", import.meta.url));

/** The kinds of site that the matrix is about. */
export const KINDS = ["open", "firewall", "full cone", "port-restricted", "symmetric", "blocked"];

/** Runs a shell script in a namespace; it throws with what the script said if it fails. */
const shell = (namespace, script) => {
  const args = [`--net=/run/netns/${namespace}`, "sh", "-euc", script];
  return execFileSync("nsenter", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
};

const host = (script) => execFileSync("sh", ["-euc", script], { encoding: "utf8" });

/** A namespace, and the processes in it. */
class Place {
  constructor(namespace) {
    this.namespace = namespace;
    host(`ip netns add ${namespace}`);
  }

  /** Runs a shell script here; gives its output. */
  run(script) {
    return shell(this.namespace, script);
  }

  /** Replaces the rules of the table `inet NAME` by these; none removes it. */
  rules(name, chains) {
    const table = `add table inet ${name}\ndelete table inet ${name}\n`;
    const input = chains ? `${table}table inet ${name} {\n${chains}\n}\n` : table;
    execFileSync("nsenter", [`--net=/run/netns/${this.namespace}`, "nft", "-f", "-"], { input });
  }

  /** What to put before a command so that it runs here. */
  get inside() {
    return ["nsenter", `--net=/run/netns/${this.namespace}`];
  }

  /** Starts a program here; `t` is the test that it ends with. */
  spawn(t, command, ...args) {
    const [program, ...rest] = [...this.inside, command, ...args];
    const child = spawn(program, rest, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => {});
    const gone = new Promise((done) => child.once("close", done));
    t.after(async () => {
      child.kill("SIGKILL");
      await gone;
    });
    return child;
  }

  /** A probe that runs here: see probe.mjs. */
  probe(t) {
    return new Probe(this.spawn(t, process.execPath, PROBE));
  }
}

/** A process of probe.mjs: one call is a line in and a line out. */
class Probe {
  #child;
  #waiting = new Map();
  #last = 0;
  #errors = "";

  constructor(child) {
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (text) => (this.#errors += text));
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { id, error, answer } = JSON.parse(line);
      const { done, failed } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) failed(new Error(error));
      else done(answer);
    });
    child.once("close", () => {
      for (const { failed } of this.#waiting.values()) failed(new Error(`probe: ended\n${this.#errors}`));
    });
  }

  call(name, ...args) {
    return new Promise((done, failed) => {
      this.#last += 1;
      this.#waiting.set(this.#last, { done, failed });
      this.#child.stdin.write(`${JSON.stringify([this.#last, name, ...args])}\n`);
    });
  }
}

const SETTINGS = `
  sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
  sysctl -qw net.ipv6.conf.all.accept_ra=0 net.ipv6.conf.default.accept_ra=0
  ip link set lo up`;
const ROUTER = "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1";
const NO_IPV6 = `
  sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1`;

/** The middle: servers and router. */
export class Internet {
  // More than one test file may run in a sandbox.
  #prefix = `wattle${process.pid}`;
  #next = 1;
  #servers = 0;
  places = [];

  constructor() {
    this.net = this.#place("net");
    this.net.run(`${SETTINGS}\n${ROUTER}`);
    // What is for nobody is lost without a word, as in the internet: a wire to a place where nobody
    // listens. (An error would be told to the sender, and coturn gives up an allocation that sends
    // to where no route leads.)
    const nowhere = this.#place("nowhere").namespace;
    host(`ip link add nowhere netns ${this.net.namespace} type veth peer name end netns ${nowhere}`);
    shell(nowhere, "ip link set end up");
    this.net.run(`
      ip link set nowhere arp off up
      ip route add default dev nowhere
      ip -6 route add default dev nowhere`);
    this.rendezvous = this.server();
  }

  #place(name) {
    const place = new Place(`${this.#prefix}-${name}`);
    this.places.push(place);
    return place;
  }

  /** A new pair of addresses for a server in the middle. */
  server() {
    this.#servers += 1;
    const server = { ipv4: `192.0.2.${this.#servers}`, ipv6: `2001:db8::${this.#servers}` };
    this.net.run(`
      ip address add ${server.ipv4}/32 dev lo
      ip address add ${server.ipv6}/128 dev lo nodad`);
    return server;
  }

  /**
   * A node's namespace behind a gateway of this kind.
   *
   * `ipv6`: it has a public IPv6 prefix, too; its gateway, if there is one, lets only replies in.
   * `ipv4: false`: IPv6 is all it has. `lan`: the first three numbers of its private network,
   * otherwise one that no other site has.
   */
  site(kind, options = {}) {
    const number = this.#next;
    this.#next += 1;
    const place = (name) => this.#place(`${number}${name}`);
    return new Site(this, place, number, kind, options);
  }

  /** A site of each kind, by kind. */
  sites() {
    return Object.fromEntries(KINDS.map((kind) => [kind, this.site(kind)]));
  }

  /** Takes everything down. What still runs inside loses its network. */
  remove() {
    for (const { namespace } of this.places) {
      if (existsSync(`/run/netns/${namespace}`)) host(`ip netns del ${namespace}`);
    }
  }
}

/** A node's namespace and its gateway. */
export class Site {
  #internet;
  #device;

  constructor(internet, place, number, kind, { ipv6 = false, ipv4 = true, lan, node } = {}) {
    const { net } = internet;
    this.#internet = internet;
    this.kind = kind;
    this.number = number;
    // Of a node that has moved here from another site: a new device, as with another radio.
    this.#device = node ? `eth${number}` : "eth0";
    /** The address that the internet knows this site by. */
    this.public = ipv4 ? `203.0.113.${number}` : null;
    this.prefix = ipv6 ? `2001:db8:${number.toString(16)}` : null;
    this.node = node ?? place("");
    if (!node) this.node.run(ipv6 ? SETTINGS : SETTINGS + NO_IPV6);
    const wire = `site${number}`;
    if (kind === "open") this.#open(net, wire);
    else this.#behind(net, wire, place("g"), lan ?? `192.168.${number}`);
    for (const place of [this.gateway, this.node]) place?.run(`'${UNTIL_UP}'`);
  }

  // The node is connected to the internet itself.
  #open(net, wire) {
    this.address = this.public;
    host(`ip link add ${this.#device} netns ${this.node.namespace} type veth
            peer name ${wire} netns ${net.namespace}`.replaceAll("\n", " "));
    net.run(`ip link set ${wire} up`);
    this.node.run(`ip link set ${this.#device} up`);
    if (this.public) {
      net.run(`ip route add ${this.public}/32 dev ${wire}`);
      this.node.run(`
        ip address add ${this.public}/32 dev ${this.#device}
        ip route add default via 192.0.2.1 dev ${this.#device} onlink`);
    }
    if (this.prefix) {
      this.ipv6 = `${this.prefix}::2`;
      net.run(`
        ip address add fe80::1/64 dev ${wire} nodad
        ip route add ${this.ipv6}/128 dev ${wire}`);
      this.node.run(`
        ip address add ${this.ipv6}/128 dev ${this.#device} nodad
        ip route add default via fe80::1 dev ${this.#device}`);
    }
  }

  #behind(net, wire, gateway, lan) {
    this.gateway = gateway;
    gateway.run(`${this.prefix ? SETTINGS : SETTINGS + NO_IPV6}\n${ROUTER}`);
    host(`
      ip link add wan0 netns ${gateway.namespace} type veth peer name ${wire} netns ${net.namespace}
      ip link add ${this.#device} netns ${this.node.namespace} type veth peer name lan0 netns ${gateway.namespace}`);
    net.run(`ip link set ${wire} up`);
    gateway.run("ip link set wan0 up; ip link set lan0 up");
    let addresses = `ip link set ${this.#device} up`;
    if (this.public && this.kind === "firewall") {
      // The node has the public address; the gateway's own one is nobody's business.
      this.address = this.public;
      const own = `198.51.100.${this.number}`;
      net.run(`
        ip route add ${own}/32 dev ${wire}
        ip route add ${this.public}/32 via ${own} dev ${wire} onlink`);
      gateway.run(`
        ip address add ${own}/32 dev wan0
        ip address add ${lan}.1/32 dev lan0
        ip route add default via 192.0.2.1 dev wan0 onlink
        ip route add ${this.public}/32 dev lan0`);
      addresses += `
        ip address add ${this.public}/32 dev ${this.#device}
        ip route add default via ${lan}.1 dev ${this.#device} onlink`;
    } else if (this.public) {
      this.address = `${lan}.2`;
      net.run(`ip route add ${this.public}/32 dev ${wire}`);
      gateway.run(`
        ip address add ${this.public}/32 dev wan0
        ip address add ${lan}.1/24 dev lan0
        ip route add default via 192.0.2.1 dev wan0 onlink`);
      addresses += `
        ip address add ${this.address}/24 dev ${this.#device}
        ip route add default via ${lan}.1`;
    }
    if (this.prefix) {
      this.ipv6 = `${this.prefix}::2`;
      net.run(`
        ip address add fe80::1/64 dev ${wire} nodad
        ip route add ${this.prefix}::/64 via fe80::2 dev ${wire}`);
      gateway.run(`
        ip address add fe80::2/64 dev wan0 nodad
        ip address add ${this.prefix}::1/64 dev lan0 nodad
        ip route add default via fe80::1 dev wan0`);
      addresses += `
        ip address add ${this.ipv6}/64 dev ${this.#device} nodad
        ip route add default via ${this.prefix}::1`;
    }
    // Before anything can pass: what a gateway has let through once without translating it, Linux never
    // translates later, as long as it is sent again and again.
    this.applyKind();
    this.node.run(addresses);
  }

  /**
   * The gateway forgets all its mappings, and from now on gives the ports that the node has open other
   * ones, still one for each.
   */
  rebind() {
    const open = this.node.run("ss -Huan").matchAll(/:(\d+)\s+\S+\s*$/gm);
    const ports = new Set([...open].map(([, port]) => port));
    const rules = [...ports].map((port) => {
      this.#rebound += 1;
      const to = `${this.public}:${20_000 + this.#rebound}`;
      return `oifname "wan0" udp sport ${port} snat ip to ${to}`;
    });
    this.gateway.rules(
      "rebound",
      `chain postrouting {
        type nat hook postrouting priority srcnat - 1
        ${rules.join("\n")}
      }`,
    );
    this.gateway.run("conntrack -F 2>/dev/null");
  }

  #rebound = 0;

  /** The node leaves this network for a new one behind a gateway of this kind; gives that. */
  move(kind, options = {}) {
    this.node.run(`ip link delete ${this.#device}`);
    return this.#internet.site(kind, { ...options, node: this.node });
  }

  /** From now on the gateway counts the UDP packets that it lets through. */
  count() {
    this.gateway.rules(
      "count",
      `chain forward {
        type filter hook forward priority 10
        iifname "lan0" meta l4proto udp counter
        iifname "wan0" meta l4proto udp counter
        iifname "lan0" meta l4proto udp meta nfproto ipv6 counter
      }`,
    );
  }

  /**
   * What it has counted: packets and bytes, `out` from the node and `in` to it; `out6`: the part of
   * `out` that is IPv6.
   */
  counted() {
    const { nftables } = JSON.parse(this.gateway.run("nft -j list table inet count"));
    const rules = nftables.filter((each) => each.rule).map((each) => each.rule.expr);
    const counters = rules.map((expr) => expr.find((each) => each.counter).counter);
    return { out: counters[0], in: counters[1], out6: counters[2] };
  }

  /** Sets the gateway's rules as its kind has them. */
  applyKind() {
    this.gateway.rules("filter", this.#filter());
    this.gateway.rules("nat", this.#nat());
  }

  #filter() {
    const udp = this.kind === "blocked" ? "meta l4proto udp drop" : "";
    // A cone lets in whatever comes to a port of its node.
    const unasked = this.kind === "full cone" ? "ct status dnat accept" : "";
    // What nobody asked for must be dropped here, too: Linux would note its ports as taken by the
    // gateway itself, and give the node another port when that sends to where the packet came from.
    return `
      chain input {
        type filter hook input priority filter; policy drop
        iifname "lo" accept
        meta l4proto { icmp, icmpv6 } accept
        ct state established,related accept
      }
      chain forward {
        type filter hook forward priority filter; policy drop
        ${udp}
        iifname "lan0" accept
        ct state established,related accept
        ${unasked}
      }`;
  }

  #nat() {
    const translate = {
      firewall: null,
      "full cone": "masquerade",
      // Linux keeps the port where it can, which here is always: there is one node.
      "port-restricted": "masquerade",
      // Another port for each destination.
      symmetric: "masquerade random,fully-random",
      blocked: "masquerade",
    }[this.kind];
    if (!translate || !this.public) return null;
    // The node's ports are the gateway's, whoever asks.
    const mapped =
      this.kind === "full cone"
        ? `chain prerouting {
             type nat hook prerouting priority dstnat
             iifname "wan0" ip daddr ${this.public} meta l4proto udp dnat ip to ${this.address}
           }`
        : "";
    return `${mapped}
      chain postrouting {
        type nat hook postrouting priority srcnat
        oifname "wan0" meta nfproto ipv4 ${translate}
      }`;
  }
}
