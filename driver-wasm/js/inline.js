// The same as "wattle", with the WebAssembly module in a script: for bundlers that do not find a file of their
// own for it, for one file alone, for servers that do not know what a `.wasm` is.

import { inlined } from "./inlined.js";
import { zipped } from "./wattle_wasm_zipped.js";

export * from "./wattle.js";

inlined.module = () => {
  const bytes = Uint8Array.from(atob(zipped), (letter) => letter.charCodeAt(0));
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unzipped).arrayBuffer();
};
