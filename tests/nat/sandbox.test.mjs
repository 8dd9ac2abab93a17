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

// In these tests alone, of all that run on this machine.
const own = 5000 + process.pid * 10;

for (const [number, signal] of ["SIGINT", "SIGTERM", "SIGKILL"].entries()) {
  test(`nothing stays after ${signal}`, async (t) => {
    const seconds = own + number;
    const child = start(t, seconds);
    await until("both sleep", 20_000, () => sleepers(seconds).length === 2);
    if (signal === "SIGKILL") child.kill(signal);
    // As a terminal and `timeout` do: all of the group, here the children of the one started.
    else for (const pid of [child.pid, ...childrenOf(child.pid)]) process.kill(pid, signal);
    await until("none is left", 20_000, () => sleepers(seconds).length === 0);
  });
}

test("two at once have the same names and do not clash", async (t) => {
  const [one, other] = [own + 8, own + 9];
  start(t, one);
  start(t, other);
  await until("all sleep", 20_000, () => sleepers(one).length + sleepers(other).length === 4);
});

test("it ends as its command does", async (t) => {
  const child = spawn(SANDBOX, ["sh", "-c", "exit 3"]);
  const status = await new Promise((done) => child.once("close", done));
  assert.equal(status, 3);
});
