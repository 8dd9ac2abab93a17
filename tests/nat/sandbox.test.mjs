// The sandbox leaves nothing behind, however it ends, and does not see another one.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { until } from "../interop/processes.mjs";

const SANDBOX = fileURLToPath(new URL("sandbox", import.meta.url));

/** The processes that sleep for so many seconds. */
const sleepers = (seconds) =>
  readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });

/** A sandbox in which something runs in the background, in a namespace, and in front of it. */
const start = (t, seconds) => {
  const script = `
    ip netns add there
    setsid nsenter --net=/run/netns/there sleep ${seconds} &
    sleep ${seconds}`;
  const child = spawn(SANDBOX, ["sh", "-euc", script], { stdio: "inherit" });
  t.after(() => child.kill("SIGKILL"));
  return child;
};

const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

for (const [number, signal] of ["SIGINT", "SIGTERM", "SIGKILL"].entries()) {
  test(`nothing stays after ${signal}`, async (t) => {
    const seconds = 5000 + number;
    const child = start(t, seconds);
    await until("both sleep", 5000, () => sleepers(seconds).length === 2);
    if (signal === "SIGKILL") child.kill(signal);
    // As a terminal and `timeout` do: all of the group, here the children of the one started.
    else for (const pid of [child.pid, ...childrenOf(child.pid)]) process.kill(pid, signal);
    await until("none is left", 5000, () => sleepers(seconds).length === 0);
  });
}

test("two at once have the same names and do not clash", async (t) => {
  start(t, 6000);
  start(t, 6001);
  await until("all sleep", 5000, () => sleepers(6000).length + sleepers(6001).length === 4);
});

test("it ends as its command does", async (t) => {
  const child = spawn(SANDBOX, ["sh", "-c", "exit 3"]);
  const status = await new Promise((done) => child.once("close", done));
  assert.equal(status, 3);
});
