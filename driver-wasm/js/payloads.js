// What a game sends, as bytes, and the way back to text.

import { kindOf } from "./checks.js";
import { WattleError, usage } from "./errors.js";

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true });

const isBytes = (value) => ArrayBuffer.isView(value) || value instanceof ArrayBuffer;

/** Of what `JSON.stringify` would silently leave nothing. */
const LOST = ["Blob", "File", "Map", "Set", "Promise", "SharedArrayBuffer"];

/** Called by `JSON.stringify` with each value. */
const checked = (name, value) => {
  if (value !== null && typeof value === "object") {
    if (isBytes(value)) {
      throw usage(
        `"${name}" is ${kindOf(value)}: bytes within JSON would be lost`,
        "Send bytes alone, or as a list of numbers: Array.from(bytes).",
      );
    }
    if (LOST.includes(value[Symbol.toStringTag])) {
      throw usage(
        `${name === "" ? "a payload" : `"${name}"`} cannot be ${kindOf(value)}: JSON has nothing for it`,
        "Send what is in it: for example await blob.arrayBuffer(), or [...map].",
      );
    }
  }
  return value;
};

/** The most that `maxMessage` can allow. The module's memory never shrinks: what is larger does not get there. */
export const MOST_BYTES = 16 * 1024 * 1024;

export const encode = (payload) => {
  const bytes = bytesOf(payload);
  if (bytes.length <= MOST_BYTES) return bytes;
  throw new WattleError("too_large", `the message is too large: at most ${MOST_BYTES} bytes`);
};

/** Bytes stay bytes; everything else is sent as its JSON. */
const bytesOf = (payload) => {
  if (payload instanceof Uint8Array) return payload;
  let json;
  try {
    if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
    if (ArrayBuffer.isView(payload)) {
      return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
    }
    json = JSON.stringify(payload, checked);
  } catch (error) {
    if (error instanceof WattleError) throw error;
    throw usage(`this payload cannot be sent: ${error?.message ?? error}`, "", error);
  }
  if (json === undefined) {
    throw usage(`a payload is bytes or a JSON value, not ${typeof payload}`, "For nothing, send null.");
  }
  return utf8.encode(json);
};

/** Bytes as their text; throws if they are not UTF-8. */
export const decode = (bytes) => strict.decode(bytes);
