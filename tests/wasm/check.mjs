// Compares the scenario's trace in WebAssembly with the native one.
//
//   node check.mjs MODULE.wasm NATIVE-PROGRAM
//
// Fails if the module imports anything, if a hash differs, or if two seeds give the same hash
// (then the scenario records nothing).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const SEEDS = [0n, 1n, 2n, 0xffff_ffff_ffff_ffffn];

const [wasmPath, nativePath] = process.argv.slice(2);
if (!wasmPath || !nativePath) {
  console.error("usage: node check.mjs MODULE.wasm NATIVE-PROGRAM");
  process.exit(2);
}

const module = new WebAssembly.Module(readFileSync(wasmPath));
assert.deepEqual(
  WebAssembly.Module.imports(module),
  [],
  "the module must import nothing: what it imports, it could ask the world for",
);

const { trace_hash } = new WebAssembly.Instance(module).exports;
const inWasm = SEEDS.map((seed) =>
  BigInt.asUintN(64, trace_hash(BigInt.asIntN(64, seed))).toString(16).padStart(16, "0"),
);
const native = execFileSync(nativePath, SEEDS.map(String), { encoding: "utf8" })
  .trim()
  .split("\n");

assert.deepEqual(inWasm, native, "the trace in WebAssembly differs from the native one");
assert.equal(new Set(native).size, SEEDS.length, "different seeds must leave different traces");
console.log(`no imports; ${SEEDS.length} seeds, the same trace natively and in WebAssembly:`);
console.log(native.join("\n"));
