/**
 * Small peer-to-peer networks over WebRTC: one node hosts and gets a short code, others join with it,
 * and messages then flow directly between them. Pages and native nodes meet in one network.
 */

/** A node's name: 26 characters. */
export type NodeId = string;

/** Any value that `JSON.stringify` can write. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * What is sent: bytes as they are, anything else as its JSON. Text is a JSON value, too: it is sent
 * in quotes. To send bare text to a native node, use `new TextEncoder().encode(text)`.
 *
 * What JSON would lose is refused with the kind `usage`: `undefined`, a `BigInt`, a `Blob`, `Map` or `Set`, and
 * bytes within JSON. As in all JSON, `NaN` becomes `null`.
 */
export type Payload = ArrayBuffer | ArrayBufferView | Json;

/** Milliseconds. What is left out has its default. */
export interface Timeouts {
  /** From `host` to the code, from `join` to the host's answer: 15 000. */
  signaling?: number;
  /** To a path between two nodes: 10 000. */
  ice?: number;
  /** From the path to the welcome: 10 000. */
  datachannel?: number;
  /** All three together, at most: 35 000. */
  connect?: number;
  /** Silence after which a node is suspected: 2 000. */
  suspectAfter?: number;
  /** Silence after which it is lost, and another path is looked for: 5 000. */
  lostAfter?: number;
  /** Silence after which a lost node has left: 20 000. */
  grace?: number;
  /** How long a node may take nothing while others wait for it: 5 000. */
  tooSlow?: number;
  /** How long a goodbye may take: 2 000. */
  leave?: number;
}

/** Listeners for every event, from the very first on. */
export type Listeners = {
  [Type in keyof NetworkEventMap as `on${Type}`]?: ((event: NetworkEventMap[Type]) => void) | null;
};

export interface JoinOptions extends Listeners {
  /** The PeerJS signaling server; default `wss://0.peerjs.com/peerjs?key=peerjs`. A game that matters
   * runs its own: `wattle serve`. */
  signalingUrl?: string;
  /** STUN and TURN servers as for `RTCPeerConnection`, those of TURN with `username` and `credential`; default: two
   * public STUN servers. With `[]` only nodes in one LAN and those with public addresses connect. */
  iceServers?: RTCIceServer[];
  /** `relay`: only through a TURN server, of which `iceServers` must have one. */
  iceTransportPolicy?: "all" | "relay";
  timeouts?: Timeouts;
  /** Whether there are `diagnostic` events. */
  verbose?: boolean;
  /** Gives up connecting; the promise rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Where the WebAssembly module is, if not beside `wattle.js`; `wattle/inline` needs to know nothing. */
  module?: string | URL | Request | Response | BufferSource | WebAssembly.Module;
}

export interface HostOptions extends JoinOptions {
  /** A code of one's own, 6 characters of `ABCDEFGHJKLMNPQRSTUVWXYZ23456789`; default: a free one. */
  code?: string;
  /** How many nodes there may be, the host included: 2 to 64, default 8. */
  maxNodes?: number;
  /** `star` (default): everybody is linked to the host. `mesh`: everybody to everybody. */
  topology?: "star" | "mesh";
  /** Whether the host passes the joiners' messages on to each other: default `true`. */
  autoRelay?: boolean;
  /** The largest message in bytes: default 262 144, at most 16 MiB. */
  maxMessage?: number;
}

/** How long each phase of a connection took; `null` for what has not ended. */
export interface Timing {
  readonly signaling_ms: number | null;
  readonly ice_ms: number | null;
  readonly datachannel_ms: number | null;
  readonly total_ms: number | null;
}

/** What later versions may add. */
type Other = string & {};

/** Why a network ended, or did not begin. */
export type EndReason =
  | "left" | "host_closed" | "host_lost" | "host_link_failed" | "kicked" | "too_slow" | "misbehaved"
  | "host_misbehaved" | "code_not_found" | "code_taken" | "foreign_host" | "network_full" | "node_id_taken"
  | "version" | "too_many_attempts" | "bad_offer" | "place_gone" | "signaling_unreachable" | "signaling_protocol"
  | "signaling_closed" | "signaling_timed_out" | "signaling_id_taken" | "signaling_invalid_key" | "signaling_full"
  | "signaling_refused" | "link_failed" | "ice_failed" | "dtls_failed" | "fingerprint_mismatch" | "timed_out_signaling"
  | "timed_out_ice" | "timed_out_datachannel" | Other;

/**
 * What went wrong: `usage` is a mistake of the caller, `platform` is no page with WebRTC, `load` a module that
 * cannot be loaded; the others come from sending, from removing, or are why `host` or `join` failed.
 */
export type ErrorKind =
  | "usage" | "platform" | "load" | "full" | "too_large" | "not_joined" | "unknown_node" | "myself" | "not_relayed"
  | "not_taking" | "not_json" | "broadcast_only" | "not_host" | EndReason;

/** Why a node left. */
export type LeaveReason = "left" | "kicked" | "lost" | "too_slow" | "misbehaved" | "link_failed" | Other;

/** Why a network ended. */
export interface End {
  readonly reason: EndReason;
  /** The same for a person. */
  readonly message: string;
  /** What a person can do about it; empty where there is nothing to do. */
  readonly remedy: string;
  /** Whether it ended as one of the nodes wanted it to. */
  readonly clean: boolean;
}

export interface NodeStats {
  readonly node: NodeId;
  /** Whether it is reached through the host. */
  readonly relayed: boolean;
  /** The round-trip time, smoothed. */
  readonly latency_ms: number | null;
  readonly latency_best_ms: number | null;
  /** How long ago it was heard over a link of our own. */
  readonly silent_ms: number | null;
  readonly messages_sent: number;
  readonly messages_received: number;
  readonly bytes_sent: number;
  readonly bytes_received: number;
  /** Bytes that it has not taken yet. */
  readonly bytes_in_flight: number;
  readonly state: {
    readonly seq: number | null;
    readonly received: number;
    /** How many came too late, or twice. */
    readonly stale: number;
    readonly age_ms: number | null;
  };
  readonly timing: Timing;
}

export interface Stats {
  readonly status: Status;
  readonly latency_best_ms: number | null;
  /** The other nodes, in join order. */
  readonly nodes: readonly NodeStats[];
  readonly counters: Readonly<Record<string, number>>;
}

export type Status = "idle" | "connecting" | "joined" | "leaving";

/** An event: what it tells are members of it, named as in the JSON lines of the command `wattle`. */
export class NetworkEvent extends Event {}

export class PayloadEvent extends NetworkEvent {
  /** Who sent it, vouched for by the host. */
  readonly from: NodeId;
  /** What was sent. */
  readonly bytes: Uint8Array;
  /** The same as the JSON value that it is; if it is none, `bytes`. Who sends bytes that could be read
   * as JSON by chance (a single digit is enough) uses `bytes`. */
  readonly payload: any;
  /** The same as text; `undefined` if it is not UTF-8. */
  readonly text: string | undefined;
}

type With<Members> = NetworkEvent & Readonly<Members>;
type OfNode = With<{ node: NodeId }>;

export interface NetworkEventMap {
  /** Host: the network can be joined with this code. */
  networkcreated: With<{ code: string }>;
  /** Joiner: connecting has come this far. */
  phase: With<{ phase: "signaling" | "ice" | "datachannel" }>;
  /** Joiner: the host has let us in. */
  joined: With<{ node: NodeId; nodes: readonly NodeId[]; timing: Timing }>;
  nodejoined: OfNode;
  /** A node has been silent for 2 s. */
  nodesuspect: OfNode;
  /** Nothing is heard of it any more; what is sent to it waits. `nodeback` or `nodeleft` follows. */
  nodelost: OfNode;
  /** It was heard again; nothing is missing. */
  nodeback: OfNode;
  /** In a mesh: messages between us go this way now. */
  noderoute: With<{ node: NodeId; route: "direct" | "relayed" }>;
  /** In a mesh: it takes nothing; broadcasts leave it out until `nodeback`. */
  nodestalled: OfNode;
  nodeleft: With<{ node: NodeId; reason: LeaveReason; message: string }>;
  /** In a mesh: the host is gone; the others go on, and nobody can join any more. */
  hostlost: With<{ reason: string; message: string }>;
  /** A reliable message. */
  message: PayloadEvent;
  /** A state, newer than all before of the same node. */
  state: PayloadEvent & { readonly seq: number };
  /** A send that was `full` would fit now. */
  writable: NetworkEvent;
  /** The signaling server was lost; links live on, a host cannot be joined meanwhile. */
  signalinglost: With<{ kind: string; message: string }>;
  signalingrestored: NetworkEvent;
  /** How connecting went, in success and failure. */
  connectreport: With<{
    node: NodeId | null;
    verdict: string;
    message: string;
    remedy: string;
    ended_in: string | null;
    took_ms: number;
    timing: Timing;
    selected: { relayed: boolean; local: { type: string; address: string | null }; remote: { type: string; address: string | null } } | null;
    [name: string]: any;
  }>;
  /** With `verbose`. */
  diagnostic: With<{ phase: string; kind: string; [name: string]: any }>;
  /** The last event. */
  ended: NetworkEvent & End;
}

/** A node in a network. The network ends when the page goes; the others are told. */
export class Network extends EventTarget {
  private constructor();

  /**
   * Hosts a network; ready when it can be joined.
   *
   * @throws {WattleError} with the `kind` of what is wrong.
   */
  static host(options?: HostOptions): Promise<Network>;

  /**
   * Joins the network with this code (a 6-character one, or a LAN code; small letters and spaces are fine); ready
   * when the host has let us in.
   *
   * @throws {WattleError} with the `kind` of what is wrong: `code_not_found`, `network_full`, …
   */
  static join(code: string, options?: JoinOptions): Promise<Network>;

  /** Our own name. */
  readonly id: NodeId;
  /** The code to give to the others. */
  readonly code: string | undefined;
  /** All nodes in join order, the host first, ourselves included. */
  readonly nodes: NodeId[];
  readonly status: Status;
  readonly timing: Timing;
  /** Settles when the network has ended. */
  readonly ended: Promise<End>;

  /**
   * Sends a reliable message to all other nodes: it arrives once, and in order.
   *
   * @throws {WattleError} `full` if one of them has not taken what was sent before; `too_large`;
   *   `not_joined`.
   */
  broadcast(payload: Payload): void;
  /** The same to one node, directly or through the host. Throws `unknown_node`, too. */
  sendTo(node: NodeId, payload: Payload): void;
  /** Sends our state to all other nodes: the newest counts, losses are not repaired, at most 16 KiB.
   * Gives its number. */
  broadcastState(payload: Payload): number;
  /** Like `broadcast`, but waits where that is `full`. */
  broadcastWhenRoom(payload: Payload, options?: { signal?: AbortSignal }): Promise<void>;
  /** Like `sendTo`, but waits where that is `full`. */
  sendToWhenRoom(node: NodeId, payload: Payload, options?: { signal?: AbortSignal }): Promise<void>;

  /** Host: removes a node. */
  kick(node: NodeId): void;
  /** Other STUN and TURN servers: before credentials expire. */
  setIceServers(servers: RTCIceServer[]): void;
  stats(): Stats;

  /** Leaves, and waits until the others know (2 s at most). */
  leave(): Promise<End>;
  /** Leaves without waiting. */
  close(): void;

  addEventListener<Type extends keyof NetworkEventMap>(
    type: Type,
    listener: ((this: Network, event: NetworkEventMap[Type]) => any) | { handleEvent(event: NetworkEventMap[Type]): any } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof NetworkEventMap>(
    type: Type,
    listener: ((this: Network, event: NetworkEventMap[Type]) => any) | { handleEvent(event: NetworkEventMap[Type]): any } | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** `network.onmessage = (event) => …`, and so on for every event. */
export interface Network extends Listeners {}

/** What went wrong. */
export class WattleError extends Error {
  /** For programs: the same words as `kind` in the JSON lines of the command `wattle`. */
  readonly kind: ErrorKind;
  /** What a person can do about it; empty where there is nothing to do. */
  readonly remedy: string;
}

/**
 * Loads the WebAssembly module ahead of time, and connects once within the page, with nobody: so the browser has
 * compiled what a connection needs when somebody waits for one, and the first is nearly as quick as later ones.
 *
 * To be called when the page begins. It takes some 30 ms, never more than a few at once, and nothing leaves the
 * page. Without it `Network.host` and `Network.join` load the module when they need it.
 */
export function load(source?: JoinOptions["module"]): Promise<void>;

/**
 * Makes smooth motion out of another node's states: it plays a constant delay behind, blends between two
 * of them, and goes on for a moment beyond the last. Make it when the module is loaded: after
 * `Network.host`, `Network.join` or `load`.
 */
export class Interpolator {
  /** 1 to 8 numbers: coordinates (`linear`), angles in radians (`angle`, the short way round), flags
   * (`step`). `delay` (120) and `extrapolation` (200) are in milliseconds. */
  constructor(components: readonly ("linear" | "angle" | "step")[], options?: { delay?: number; extrapolation?: number });
  /** Takes a snapshot that its sender made at `sent`: milliseconds of any clock of its own, such as the
   * event's `seq` times the time between two states. With `teleport` nothing is drawn in between. Says
   * whether it is used. */
  push(sent: number, values: ArrayLike<number> | Float32Array, options?: { arrived?: number; teleport?: boolean }): boolean;
  /** What to draw at `now` (default: `performance.now()`); `undefined` before the first snapshot. The
   * same array every time. */
  sample(now?: number): Float32Array | undefined;
  /** Forgets everything: a new round, another player in its place. */
  reset(): void;
}
