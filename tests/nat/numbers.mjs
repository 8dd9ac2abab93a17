// Numbered messages from one node to another: each arrives once, and in order.

import assert from "node:assert/strict";

import { sleep } from "../interop/processes.mjs";

/**
 * Broadcasts `count` numbered messages from one process, so many a second, to one other; `until`
 * may end it before. Waits until all have arrived. Gives when each was sent and when it arrived, by number.
 *
 * At most `ahead` are under way, as an application would do that wants to know what arrives.
 */
export const numbers = async (
  from,
  to,
  { count, perSecond, until = () => false, ahead = 5000, within = 60_000 },
) => {
  const TICK = 10;
  // Of these two alone, however many such runs there are in a process.
  const mark = `${(runs += 1)}#`;
  const after = to.mark;
  const start = Date.now();
  const times = [];
  let sent = 0;
  while (sent < count && !until()) {
    const due = Math.min(count, Math.ceil(((Date.now() - start) * perSecond) / 1000));
    while (sent < due && sent - arrivals(to, after, mark).length < ahead) {
      from.command(`broadcast ${mark}${sent}`);
      times.push(Date.now());
      sent += 1;
    }
    await sleep(TICK);
  }
  const end = Date.now() + within;
  while (arrivals(to, after, mark).length < sent && Date.now() < end) await sleep(TICK);
  const got = arrivals(to, after, mark);
  const refused = from.all("error");
  assert.deepEqual(refused, [], "no message is refused");
  const wrong = got.findIndex((each, number) => each.text !== `${mark}${number}`);
  const shown = got.slice(Math.max(0, wrong - 3), wrong + 3).map((each) => each.text);
  assert.equal(wrong, -1, `message ${wrong} is not the next one: ${shown}`);
  assert.equal(got.length, sent, `${got.length} of ${sent} messages arrived`);
  return { sent: times, arrived: got.map((each) => each.at) };
};

let runs = 0;

/** The messages of a run that have arrived. */
const arrivals = (to, after, mark) => {
  const cache = (seen.get(to) ?? seen.set(to, new Map()).get(to));
  const known = cache.get(mark) ?? cache.set(mark, { at: after, found: [] }).get(mark);
  for (; known.at < to.events.length; known.at += 1) {
    const event = to.events[known.at];
    if (event.event === "message" && event.text?.startsWith(mark)) known.found.push(event);
  }
  return known.found;
};

// Looking at ten thousand events again and again would take longer than sending them.
const seen = new WeakMap();
