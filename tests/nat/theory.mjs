// What must connect, and what cannot.
//
// Two nodes connect without a relay if one of them can be reached at an address that both can know,
// or if each can open its own gateway for the other: then each gateway's mapping must be the one
// that the other side was told, so neither may be symmetric.

import { KINDS } from "./internet.mjs";

const read = (rows) => {
  const table = {};
  for (const [at, kind] of KINDS.entries()) {
    const marks = rows[at].slice(20).split(/ +/);
    table[kind] = Object.fromEntries(KINDS.map((other, i) => [other, marks[i] === "yes"]));
  }
  return table;
};

// Columns in the same order as rows; one side hosts, the other joins, and which is which makes no
// difference.

/** With a STUN server: both addresses of each node are known, its own and its gateway's. */
export const WITH_STUN = read([
  "open                yes yes yes yes yes no",
  "firewall            yes yes yes yes no  no",
  "full cone           yes yes yes yes yes no",
  "port-restricted     yes yes yes yes no  no",
  "symmetric           yes no  yes no  no  no",
  "blocked             no  no  no  no  no  no",
]);

/** With no server: a node behind a NAT knows nothing that others could use. */
export const WITH_NOTHING = read([
  "open                yes yes yes yes yes no",
  "firewall            yes yes no  no  no  no",
  "full cone           yes no  no  no  no  no",
  "port-restricted     yes no  no  no  no  no",
  "symmetric           yes no  no  no  no  no",
  "blocked             no  no  no  no  no  no",
]);

/** What the joiner's verdict is where it cannot connect by STUN alone, with two servers. */
export const verdictWithStun = (host, joiner) => {
  if (joiner === "blocked") return "udp_blocked";
  // The joiner cannot know why its host has no other addresses.
  if (host === "blocked") return "only_remote_host_candidates";
  if (host === "symmetric" && joiner === "symmetric") return "symmetric_nats";
  // One side's gateway shows that it takes a new port each time; the other's filter is not visible.
  return joiner === "symmetric" ? "symmetric_nat" : "symmetric_remote_nat";
};

/** What the joiner's verdict is where it cannot connect with no server. */
export const verdictWithNothing = (host, joiner) => {
  const isPublic = (kind) => kind === "open" || kind === "firewall";
  return isPublic(joiner) ? "only_remote_host_candidates" : "only_host_candidates";
};

/** Whether the joiner's path through a TURN server is the only one. */
export const needsRelay = (host, joiner) => !WITH_STUN[host][joiner];

/** What a joiner finds out about its own NAT by asking two STUN servers. */
export const NAT = {
  open: "open",
  // Only what it lets in is different.
  firewall: "open",
  "full cone": "independent",
  "port-restricted": "independent",
  symmetric: "dependent",
  blocked: "unknown",
};
