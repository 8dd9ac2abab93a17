// The WebAssembly module: loaded once, by the first who needs it.

import { WattleError, needPage, platform } from "./errors.js";
import { inlined } from "./inlined.js";
import { later } from "./later.js";
import init, { Rehearsal } from "./wattle_wasm.js";

/** Whether the module is there. */
export let isLoaded = false;
let loading;
let rehearsed;

/** Loads the module, and has the browser compile all of it. `source` is where it is. */
export const load = (source) => {
  rehearsed ??= loadModule(source).then(rehearse, (error) => {
    rehearsed = undefined;
    throw error;
  });
  return rehearsed;
};

/** So long the page is kept busy at once, in milliseconds. */
const STEP = 4;

/** Two nodes meet within the page: what the browser has compiled for them is quick when it matters. */
const rehearse = async () => {
  const rehearsal = new Rehearsal();
  for (let more = true; more; ) {
    await later();
    const until = performance.now() + STEP;
    while (more && performance.now() < until) more = rehearsal.step() !== undefined;
  }
  rehearsal.free();
};

/** What `host` and `join` need of that. */
export const loadModule = (source) => {
  loading ??= started(source).then(
    () => {
      isLoaded = true;
    },
    (error) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
};

const started = async (source) => {
  // Workers may have the module, too.
  if (!globalThis.importScripts) needPage();
  if (!globalThis.WebAssembly) throw platform("no WebAssembly");
  try {
    const from = source ?? (await inlined.module?.());
    await init(from === undefined ? undefined : { module_or_path: from });
  } catch (error) {
    const remedy = /content security policy|\bCSP\b/i.test(error)
      ? "Allow 'wasm-unsafe-eval' for script-src in the page's Content-Security-Policy."
      : "Serve wattle_wasm_bg.wasm beside the script, give its address to load()," +
        ' or import "wattle/inline", which holds it.';
    throw new WattleError("load", `the WebAssembly module cannot be loaded: ${error}`, remedy, error);
  }
};
