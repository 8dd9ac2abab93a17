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
  "UDP blocked         no  no  no  no  no  no",
]);

/** With no server: a node behind a NAT knows nothing that others could use. */
export const WITH_NOTHING = read([
  "open                yes yes yes yes yes no",
  "firewall            yes yes no  no  no  no",
  "full cone           yes no  no  no  no  no",
  "port-restricted     yes no  no  no  no  no",
  "symmetric           yes no  no  no  no  no",
  "UDP blocked         no  no  no  no  no  no",
]);

/** How the joiner's verdict reads where the table says no: `--json` of `connect_report`. */
export const verdictWithStun = (host, joiner) => {
  if (host === "blocked" || joiner === "blocked") return "udp_blocked";
  return "symmetric_nats";
};
