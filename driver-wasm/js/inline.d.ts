/** The same as "wattle", with the WebAssembly module in a script. */
export * from "./wattle.js";
