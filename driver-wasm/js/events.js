// What a network tells.

import { decode } from "./payloads.js";

export const EVENTS = [
  "networkcreated", "phase", "joined", "nodejoined", "nodesuspect", "nodelost", "nodeback",
  "noderoute", "nodestalled", "nodeleft", "hostlost", "message", "state", "writable",
  "signalinglost", "signalingrestored", "connectreport", "diagnostic", "ended",
];

/** Something that happened: the members of the command's JSON lines. */
export class NetworkEvent extends Event {
  constructor(type, detail) {
    super(type);
    for (const [name, value] of Object.entries(detail)) {
      // `event` is the type.
      if (name !== "event") Object.defineProperty(this, name, { value, enumerable: true });
    }
  }
}

/** A message or a state of another node. */
export class PayloadEvent extends NetworkEvent {
  #text;
  #payload;
  #read = false;

  /** The payload as text; `undefined` if it is not UTF-8. */
  get text() {
    if (this.#text === undefined) {
      try {
        this.#text = decode(this.bytes);
      } catch {
        this.#text = null;
      }
    }
    return this.#text ?? undefined;
  }

  /** The payload as the JSON value that it is, and if it is none, as a `Uint8Array`. */
  get payload() {
    if (!this.#read) {
      this.#read = true;
      try {
        this.#payload = JSON.parse(decode(this.bytes));
      } catch {
        this.#payload = this.bytes;
      }
    }
    return this.#payload;
  }
}
