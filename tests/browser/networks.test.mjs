// Networks of pages and native nodes, in every mixture.

import { test } from "node:test";

import { again, host, join, until } from "../interop/processes.mjs";
import { HIDING, Page, browse, serve, signaling } from "./pages.mjs";

for (const hiding of Object.keys(HIDING)) {
  test(`two pages, addresses ${hiding}`, async (t) => {
    const [signalingUrl, origin, browser] = [
      await signaling(t),
      await serve(t),
      await browse(t, hiding),
    ];
    const first = await (await Page.open(t, browser, origin, "host")).host({ signalingUrl });
    const second = await Page.open(t, browser, origin, "joiner");
    await second.join(first.code, { signalingUrl });
    await first.event("nodejoined", { with: { node: second.id } });
    await first.call("broadcast", { hello: "there" });
    await second.event("message", { with: { from: first.id, payload: { hello: "there" } } });
    await second.call("sendTo", first.id, [1, 2]);
    await first.event("message", { with: { from: second.id, payload: [1, 2] } });
    const show = () => second.call("broadcastState", { x: 1 });
    await again("a state", show, () => first.all("state").length > 0);
    await first.event("state", { with: { from: second.id, payload: { x: 1 } } });
    const mark = first.mark;
    await second.call("leave");
    await first.event("nodeleft", { with: { node: second.id, reason: "left" }, after: mark });
  });
}

for (const hiding of Object.keys(HIDING)) {
  test(`a page joins a native host, addresses ${hiding}`, async (t) => {
    const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t, hiding)];
    const { node: native, code } = await host(t, "--signal", url);
    const page = await Page.open(t, browser, origin, "page");
    await page.join(code, { signalingUrl: url });
    await native.event("node_joined", { with: { node: page.id } });
    await talk([native, page], [page.nodes[0], page.id]);
    const mark = native.mark;
    await page.call("leave");
    await native.event("node_left", { with: { node: page.id, reason: "left" }, after: mark });
  });

  test(`a native node joins a page, addresses ${hiding}`, async (t) => {
    const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t, hiding)];
    const page = await Page.open(t, browser, origin, "page");
    await page.host({ signalingUrl: url });
    const { node: native, id } = await join(t, "native", page.code, "--signal", url);
    await page.event("nodejoined", { with: { node: id } });
    await talk([native, page], [id, page.id]);
    const mark = page.mark;
    native.command("leave");
    await page.event("nodeleft", { with: { node: id, reason: "left" }, after: mark });
  });
}

test("a page joins by a LAN code", async (t) => {
  const [origin, browser] = [await serve(t), await browse(t)];
  const { node: native, code } = await host(t, "--lan");
  const page = await Page.open(t, browser, origin, "page");
  await page.join(code);
  await talk([native, page], [page.nodes[0], page.id]);
});

for (const topology of ["star", "mesh"]) {
  for (const hosting of ["native", "page"]) {
    test(`two pages and two native nodes in a ${topology} of a ${hosting}`, async (t) => {
      const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
      const pages = [
        await Page.open(t, browser, origin, "page 1"),
        await Page.open(t, browser, origin, "page 2"),
      ];
      const [nodes, ids] = [[], []];
      const add = (node, id) => (nodes.push(node), ids.push(id));
      let code;
      if (hosting === "page") {
        await pages[0].host({ signalingUrl: url, topology });
        add(pages[0], pages[0].id);
        code = pages[0].code;
      } else {
        const { node, code: given } = await host(t, "--signal", url, "--topology", topology);
        add(node, undefined);
        code = given;
      }
      for (const page of pages.slice(hosting === "page" ? 1 : 0)) {
        await page.join(code, { signalingUrl: url });
        ids[0] ??= page.nodes[0];
        add(page, page.id);
      }
      while (nodes.length < 4) {
        const { node, id } = await join(t, `native ${nodes.length}`, code, "--signal", url);
        add(node, id);
      }
      for (const [number, node] of nodes.entries()) {
        for (const [other, id] of ids.entries()) {
          if (other === number) continue;
          await heard(node, "node_joined", { node: id });
          if (topology === "mesh" && other > 0 && number > 0) {
            await heard(node, "node_route", { node: id, route: "direct" });
          }
        }
      }
      await talk(nodes, ids);
      const expected = `${topology === "mesh" ? [0, 0, 0, 0] : [0, 2, 2, 2]}`;
      const relayed = async () => `${await Promise.all(nodes.map(relayedNodes))}`;
      await until(`${expected} of the others are reached through the host`, 20_000, async () =>
        (await relayed()) === expected);
    });
  }
}

/** Waits for an event of a page or of a process, by the command's name of it. */
const heard = (node, name, members) =>
  node.event(node instanceof Page ? name.replaceAll("_", "") : name, { with: members });

const relayedNodes = async (node) => {
  let stats;
  if (node instanceof Page) {
    stats = await node.page.evaluate(() => window.network.stats());
  } else {
    const after = node.mark;
    node.command("stats");
    stats = await node.event("stats", { after });
  }
  return stats.nodes.filter((each) => each.relayed).length;
};

/** Everybody sends a message and a state to all, and a message to each, and hears all of them. */
const talk = async (nodes, ids) => {
  const say = async (node, word) => {
    if (node instanceof Page) {
      await node.page.evaluate((word) => window.network.broadcast(new TextEncoder().encode(word)), word);
    } else {
      node.command(`broadcast ${word}`);
    }
  };
  const show = async (node, word) => {
    if (node instanceof Page) {
      await node.page.evaluate((word) => window.network.broadcastState(new TextEncoder().encode(word)), word);
    } else {
      node.command(`state ${word}`);
    }
  };
  for (const [number, node] of nodes.entries()) {
    const word = `hello from ${ids[number]}`;
    await say(node, word);
    const others = nodes.filter((each) => each !== node);
    const has = (each) => each.all("state").some(({ from, text }) => from === ids[number] && text === word);
    await again(`the state of ${ids[number]}`, () => show(node, word), () => others.every(has));
  }
  for (const [to, node] of nodes.entries()) {
    for (const [from, id] of ids.entries()) {
      if (from === to) continue;
      const said = { from: id, text: `hello from ${id}` };
      await heard(node, "message", said);
    }
  }
};
