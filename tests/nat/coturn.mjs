// The real coturn, in the middle of the internet of internet.mjs.

import { execFileSync } from "node:child_process";
import { appendFileSync, mkdtempSync } from "node:fs";
import { join } from "node:path";

import { until } from "../interop/processes.mjs";

export const USERNAME = "player";
export const CREDENTIAL = "open sesame";

/** An authority of this run, and what it certifies. */
class Authority {
  // On the sandbox's /run: gone with it.
  #directory = mkdtempSync("/run/authority-");
  certificate = join(this.#directory, "authority.pem");

  constructor() {
    this.#openssl(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", "authority.key", "-out", "authority.pem", "-days", "2"],
      ...["-subj", "/CN=Authority of a test", "-addext", "basicConstraints=critical,CA:TRUE"],
    );
  }

  #openssl(...args) {
    execFileSync("openssl", args, { cwd: this.#directory, stdio: ["ignore", "ignore", "pipe"] });
  }

  /** The paths of a certificate for this name, and of its key. */
  certify(name) {
    this.#openssl(
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-keyout", `${name}.key`, "-out", `${name}.pem`, "-days", "2", "-subj", `/CN=${name}`],
      ...["-addext", `subjectAltName=DNS:${name}`, "-addext", "basicConstraints=critical,CA:FALSE"],
      ...["-CA", "authority.pem", "-CAkey", "authority.key"],
    );
    return { cert: join(this.#directory, `${name}.pem`), key: join(this.#directory, `${name}.key`) };
  }
}

let authority;

/** The authority of this run; programs trust it through SSL_CERT_FILE. */
export const trusted = () => (authority ??= new Authority());

export class Coturn {
  #net;
  #options;
  #child;
  #log = "";
  #certificate;

  /**
   * Starts one at these addresses (pairs of Internet.server()), the first of which is its name's.
   * `options` are more options of coturn's; `user: null` leaves its only user out.
   */
  static async start(t, internet, addresses, options = [], user = `${USERNAME}:${CREDENTIAL}`) {
    const server = new Coturn();
    server.#net = internet.net;
    server.ipv4 = addresses[0].ipv4;
    server.ipv6 = addresses[0].ipv6;
    server.addresses = addresses;
    server.name = `turn-${server.ipv4.replaceAll(".", "-")}.wattle.test`;
    appendFileSync("/run/hosts", `${server.ipv4} ${server.name}\n`);
    server.#certificate = trusted().certify(server.name);
    const { cert, key } = server.#certificate;
    server.#options = [
      ...["-n", "--no-cli", "--log-file=stdout", "--simple-log", "--verbose", "--no-dtls"],
      ...[`--pidfile=/run/${server.name}.pid`, "--realm=wattle.test", "--no-software-attribute"],
      ...addresses.flatMap(({ ipv4, ipv6 }) => [`--listening-ip=${ipv4}`, `--listening-ip=${ipv6}`]),
      ...addresses.flatMap(({ ipv4, ipv6 }) => [`--relay-ip=${ipv4}`, `--relay-ip=${ipv6}`]),
      ...["--listening-port=3478", "--tls-listening-port=5349", `--cert=${cert}`, `--pkey=${key}`],
      ...["--lt-cred-mech", "--relay-threads=1"],
      ...(user ? [`--user=${user}`] : []),
      ...options,
    ];
    await server.restart(t);
    return server;
  }

  /** Starts it again after `stop`, with what it was started with. */
  async restart(t) {
    this.#child = this.#net.spawn(t, "turnserver", ...this.#options);
    const keep = (text) => (this.#log += text);
    this.#child.stdout.setEncoding("utf8").on("data", keep);
    this.#child.stderr.setEncoding("utf8").on("data", keep);
    const probe = this.#net.probe(t);
    await until(`coturn listens on ${this.ipv4}\n${this.#log}`, 40_000, () => {
      if (this.#child.exitCode !== null) throw new Error(`coturn ended:\n${this.#log}`);
      return probe.call("tcp", this.ipv4, 5349);
    });
  }

  /** Kills it and waits until it is gone. */
  async stop() {
    const gone = new Promise((done) => this.#child.once("close", done));
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** What it has written so far. */
  get log() {
    return this.#log;
  }

  /** A STUN URL for each of its addresses: to a client, as many servers. */
  get stuns() {
    return this.addresses.map(({ ipv4 }) => `stun:${ipv4}:3478`);
  }

  get stun() {
    return this.stuns[0];
  }

  get stun6() {
    return `stun:[${this.ipv6}]:3478`;
  }

  /** The value of `--ice` for this transport: udp, tcp or tls. */
  turn(transport, credential = CREDENTIAL, username = USERNAME) {
    const urls = {
      udp: `turn:${this.ipv4}:3478?transport=udp`,
      tcp: `turn:${this.ipv4}:3478?transport=tcp`,
      tls: `turns:${this.name}:5349?transport=tcp`,
    };
    return JSON.stringify({ urls: urls[transport], username, credential });
  }

  /** The same by its IPv6 address: udp or tcp. */
  turn6(transport, credential = CREDENTIAL, username = USERNAME) {
    const urls = `turn:[${this.ipv6}]:3478?transport=${transport}`;
    return JSON.stringify({ urls, username, credential });
  }
}
