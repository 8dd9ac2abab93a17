// The types of the package, used as a game would. Only the compiler reads this.

import { Network, WattleError, load, type End, type ErrorKind, type Stats } from "wattle";
import { Network as Inline } from "wattle/inline";

export const play = async (signal: AbortSignal): Promise<End> => {
  await load();
  const network: Network = await Network.host({
    signalingUrl: "wss://example.org/peerjs",
    iceServers: [{ urls: ["turn:turn.example.org"], username: "a", credential: "b" }],
    maxNodes: 4,
    topology: "mesh",
    timeouts: { lostAfter: 4_000 },
    signal,
    onphase: (event) => event.phase === "ice",
  });
  network.addEventListener("nodejoined", ({ node }) => network.sendTo(node, { hello: [1, null] }));
  network.addEventListener("message", (event) => {
    const bytes: Uint8Array = event.bytes;
    const from: string = event.from;
    network.sendTo(from, bytes);
  }, { once: true });
  network.onstate = (event) => event.seq + event.bytes.length;
  network.onended = null;
  const stats: Stats = network.stats();
  const state: number = network.broadcastState(new Float32Array([1, 2]));
  network.broadcast(`${state} ${stats.nodes.length}`);
  await network.broadcastWhenRoom(["x"], { signal });
  // @ts-expect-error: a function is no JSON.
  network.broadcast(() => 1);
  // @ts-expect-error: there is no such event.
  network.addEventListener("nodejoins", () => 1);
  // @ts-expect-error: networks are made by `host` and `join`.
  new Network();
  // @ts-expect-error: a joiner does not choose the code.
  await Network.join("ABCDEF", { code: "ABCDEF" });
  return network.leave();
};

export const kind = (error: unknown): ErrorKind | undefined =>
  error instanceof WattleError ? error.kind : undefined;

export const same: typeof Network = Inline;
