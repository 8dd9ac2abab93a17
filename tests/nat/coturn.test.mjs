// Links through the real coturn: every transport, and everything that a TURN server can do to its
// clients while they use it. Both nodes are behind symmetric NATs, so nothing else connects them.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";

import { Coturn, CREDENTIAL, USERNAME, trusted } from "./coturn.mjs";
import { Internet } from "./internet.mjs";
import { connected, failsInIce, host, ice, joiner, scope, signaling, telling, until } from "./nodes.mjs";
import { numbers } from "./numbers.mjs";
import { sleep } from "../interop/processes.mjs";

const own = scope();
let internet;
let url;
let sites;

before(async () => {
  internet = new Internet();
  sites = [internet.site("symmetric"), internet.site("symmetric")];
  url = (await signaling(own, internet)).ipv4;
});

after(async () => {
  await own.end();
  internet.remove();
});

/** A coturn of a test's own. */
const start = (t, options, user) => Coturn.start(t, internet, [internet.server()], options, user);

/** Two nodes that are connected through this server. */
const link = async (t, servers, at = sites) => {
  const first = await host(t, at[0], url, ...servers);
  const second = joiner(t, at[1], first.code, url, ...servers);
  const joined = await connected(first, second);
  return { t, first: first.node, second, ids: [first.id, joined.node] };
};

/** The server's log says so, perhaps in a moment. */
const logs = (coturn, pattern, times = 1) =>
  until(`coturn logs ${pattern} ${times} times`, 15_000, () => {
    const found = [...coturn.log.matchAll(new RegExp(pattern, "g"))].length;
    return found >= times;
  });

/** Messages of each to the other until `isEnough`, all of which arrive once and in order. */
const talk = ({ first, second, t }, isEnough) => {
  const how = { count: 100_000, perSecond: 50, until: isEnough };
  return telling(t, { first, second }, () =>
    Promise.all([numbers(first, second, how), numbers(second, first, how)]),
  );
};

/** They talk while something happens, and 5 s longer. */
const talkDuring = async (nodes, meanwhile) => {
  let done = false;
  const talking = talk(nodes, () => done);
  talking.catch(() => {});
  try {
    await meanwhile();
    await sleep(5000);
  } finally {
    done = true;
  }
  await talking;
};

/** Whether so many milliseconds have passed since this was called. */
const passed = (milliseconds) => {
  const end = Date.now() + milliseconds;
  return () => Date.now() > end;
};

const nobodyLeft = ({ first, second }) => {
  for (const node of [first, second]) {
    assert.deepEqual(node.all("node_left", "error", "ended"), []);
  }
};

// Most of each is waiting.
describe("coturn", { concurrency: 6 }, () => {
  it("coturn itself works for clients that are not ours", async (t) => {
    const coturn = await start(t, []);
    const run = (program, ...args) => {
      const [command, ...rest] = [...internet.net.inside, program, ...args];
      return spawnSync(command, rest, { encoding: "utf8", timeout: 20_000, input: "" });
    };
    for (const transport of [[], ["-t"]]) {
      const how = [...transport, "-y", "-c", "-n", "3", "-u", USERNAME, "-w", CREDENTIAL];
      const { stdout, status } = run("turnutils_uclient", ...how, coturn.ipv4);
      assert.equal(status, 0, stdout);
      assert.match(stdout, /Total lost packets 0/, `${transport}`);
    }
    const trust = ["-verify_return_error", "-CAfile", trusted().certificate];
    const names = ["-verify_hostname", coturn.name, "-connect", `${coturn.name}:5349`];
    const { stdout, stderr, status } = run("openssl", "s_client", ...trust, ...names);
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /Verification: OK/);
  });

  const SIDES = { udp: /protocol UDP|UDP/, tcp: /TCP/, tls: /TLS/ };

  for (const transport of ["udp", "tcp", "tls"]) {
    it(`a link through a relay over ${transport}`, async (t) => {
      const coturn = await start(t, []);
      const nodes = await link(t, ice(coturn.turn(transport)));
      await talk(nodes, passed(1000));
      assert.match(coturn.log, SIDES[transport]);
      const { verdict } = await nodes.second.event("connect_report");
      assert.equal(verdict, "connected_by_relay");
      // A node that leaves gives its allocation back at once, and not when it expires.
      nodes.second.command("leave");
      await nodes.second.exit();
      nodes.first.command("leave");
      await nodes.first.exit();
      await logs(coturn, "refreshed, realm=<[^>]*>, username=<[^>]*>, lifetime=0", 2);
    });
  }

  for (const transport of ["udp", "tcp", "tls"]) {
    const name = `allocations that expire after 6 s are refreshed, over ${transport}`;
    it(name, async (t) => {
      const coturn = await start(t, ["--max-allocate-lifetime=6"]);
      const nodes = await link(t, ice(coturn.turn(transport)));
      await talk(nodes, passed(15_000));
      nobodyLeft(nodes);
      await logs(coturn, "refreshed, realm=<[^>]*>, username=<[^>]*>, lifetime=6", 4);
    });
  }

  it("nonces that are stale after 2 s are replaced", async (t) => {
    const coturn = await start(t, ["--stale-nonce=2"]);
    const servers = ice(coturn.turn("udp"));
    const first = await host(t, sites[0], url, ...servers);
    await connected(first, joiner(t, sites[1], first.code, url, ...servers));
    await sleep(4000);
    // For somebody from elsewhere the host needs another permission, with a nonce that has run out.
    const third = joiner(t, internet.site("symmetric"), first.code, url, ...servers);
    await connected(first, third);
    await logs(coturn, "Wrong nonce|Stale nonce|stale nonce|438", 1);
  });

  it("a server that sends its clients to another one", async (t) => {
    const other = await start(t, []);
    const coturn = await start(t, [`--alternate-server=${other.ipv4}:3478`]);
    const nodes = await link(t, ice(coturn.turn("udp")));
    await talk(nodes, passed(1000));
    nobodyLeft(nodes);
    await logs(other, "ALLOCATE processed, success", 2);
  });

  for (const transport of ["udp", "tcp"]) {
    it(`a wrong password over ${transport} has its own verdict`, async (t) => {
      const coturn = await start(t, []);
      const servers = ice(coturn.turn(transport, "not the password"));
      const first = await host(t, sites[0], url, ...servers);
      const second = joiner(t, sites[1], first.code, url, ...servers);
      await failsInIce(second);
      const { verdict } = await second.event("connect_report");
      assert.equal(verdict, "turn_credentials_refused");
    });
  }

  it("a certificate that nobody trusts is not accepted", async (t) => {
    const coturn = await start(t, []);
    // The certificate is for the name; by address it is nobody's.
    const urls = `turns:${coturn.ipv4}:5349?transport=tcp`;
    const servers = ice(JSON.stringify({ urls, username: USERNAME, credential: CREDENTIAL }));
    const first = await host(t, sites[0], url, ...servers);
    const second = joiner(t, sites[1], first.code, url, ...servers);
    await failsInIce(second);
    const { verdict } = await second.event("connect_report");
    assert.equal(verdict, "turn_unreachable");
  });

  it("a server that is not there has its own verdict", async (t) => {
    const { ipv4 } = internet.server();
    const urls = [`turn:${ipv4}:3478`, `turn:${ipv4}:3478?transport=tcp`];
    const servers = ice(JSON.stringify({ urls, username: USERNAME, credential: CREDENTIAL }));
    const first = await host(t, sites[0], url, ...servers);
    const second = joiner(t, sites[1], first.code, url, ...servers);
    await failsInIce(second);
    const { verdict } = await second.event("connect_report");
    assert.equal(verdict, "turn_unreachable");
  });

  for (const transport of ["udp", "tcp", "tls"]) {
    const name = `a server that is killed and comes back while in use, over ${transport}`;
    it(name, async (t) => {
      const coturn = await start(t, []);
      // It may take its time to start.
      const nodes = await link(t, [...ice(coturn.turn(transport)), "--grace", "60"]);
      await talkDuring(nodes, async () => {
        await sleep(1000);
        await coturn.stop();
        await sleep(4000);
        await coturn.restart(t);
      });
      nobodyLeft(nodes);
    });
  }

  // --- Credentials that have a date, as coturn's REST credentials have: the username is the second
  // until which it holds.

  const SECRET = "north";

  const dated = (seconds) => {
    const username = `${Math.floor(Date.now() / 1000) + seconds}:${USERNAME}`;
    const credential = createHmac("sha1", SECRET).update(username).digest("base64");
    return { username, credential };
  };

  it("credentials that have run out have their own verdict", async (t) => {
    const coturn = await start(t, ["--use-auth-secret", `--static-auth-secret=${SECRET}`], null);
    const { username, credential } = dated(-10);
    const servers = ice(coturn.turn("udp", credential, username));
    const first = await host(t, sites[0], url, ...servers);
    const second = joiner(t, sites[1], first.code, url, ...servers);
    await failsInIce(second);
    const { verdict } = await second.event("connect_report");
    assert.equal(verdict, "turn_credentials_refused");
  });

  const replaced = async (t, transport, meanwhile) => {
    const options = ["--use-auth-secret", `--static-auth-secret=${SECRET}`];
    const coturn = await start(t, [...options, "--max-allocate-lifetime=6"], null);
    const [early, end] = [dated(20), Date.now() + 20_000];
    const servers = ice(coturn.turn(transport, early.credential, early.username));
    const nodes = await link(t, [...servers, "--grace", "60"]);
    const late = dated(600);
    await talkDuring(nodes, async () => {
      await sleep(1000);
      for (const node of [nodes.first, nodes.second]) {
        node.command(`ice ${coturn.turn(transport, late.credential, late.username)}`);
      }
      await until("they have run out", 30_000, () => Date.now() > end + 1000);
      await meanwhile?.(coturn);
    });
    for (const node of [nodes.first, nodes.second]) {
      assert.deepEqual(node.all("node_left", "ended"), []);
    }
    // What cannot be read changes nothing.
    nodes.second.command("ice turn:nobody:0 x");
    const { kind, command } = await nodes.second.event("error");
    assert.deepEqual([kind, command], ["ice_servers", "ice"]);
    return { coturn, late };
  };

  // An allocation belongs to whom it was lent to, for as long as it lives: coturn is not asked for another.
  it("credentials are replaced while running, before they run out", (t) => replaced(t, "udp"));

  // To coturn, whoever comes from one address and port is who it first said it was, refused or not, until a minute
  // has passed without an allocation: over UDP it takes another port.
  for (const transport of ["udp", "tcp"]) {
    it(`credentials that were replaced are used after a restart, over ${transport}`, async (t) => {
      let before;
      const restart = async (coturn) => {
        await coturn.stop();
        before = coturn.log.length;
        await coturn.restart(t);
      };
      const { coturn, late } = await replaced(t, transport, restart);
      const log = coturn.log.slice(before);
      const taken = [...log.matchAll(/ALLOCATE processed, success/g)].length;
      // coturn logs one that is asked for again on a busy machine again.
      assert.ok(taken >= 2, log);
      await logs(coturn, `username=<${late.username}>`, 2);
    });
  }
});
