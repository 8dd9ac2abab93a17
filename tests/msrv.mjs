// Checks that one rust-version holds for the whole project.
//
//   cargo metadata --format-version 1 | node tests/msrv.mjs "$(rustc --version)"
//
// This compares what the manifests declare; only a compiler of that version could prove it.

import { readFileSync } from "node:fs";

const metadata = JSON.parse(readFileSync(0, "utf8"));
const compiler = process.argv[2] ?? "";
const problems = [];

const numbers = (version) => version.split(".").map(Number);
const isNewer = (a, b) => {
  const [left, right] = [numbers(a), numbers(b)];
  for (let place = 0; place < 3; place += 1) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
};

const members = new Set(metadata.workspace_members);
const ours = metadata.packages.filter((each) => members.has(each.id));
const msrv = ours.find((each) => each.name === "wattle-core").rust_version;
if (!msrv) problems.push("wattle-core declares no rust-version");

for (const each of ours) {
  if (each.rust_version !== msrv) {
    problems.push(
      `${each.name} declares rust-version ${each.rust_version ?? "nothing"}, wattle-core ${msrv}: ` +
        "write 'rust-version.workspace = true'",
    );
  }
}
for (const each of metadata.packages) {
  if (each.rust_version && isNewer(each.rust_version, msrv)) {
    problems.push(`${each.name} ${each.version} needs Rust ${each.rust_version}, we promise ${msrv}`);
  }
}
const version = /\d+\.\d+\.\d+/.exec(compiler)?.[0];
if (version && isNewer(msrv, version)) {
  problems.push(`this compiler is ${version}, older than the ${msrv} that we promise to need`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log(
  `rust-version ${msrv}: ${ours.length} packages declare it and ${metadata.packages.length} in all ` +
    `fit it. Compiled here only with ${version ?? "an unknown compiler"}.`,
);
