// The demo, used as a person would: one hosts, others open the link, talk and move.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sleep, until } from "../interop/processes.mjs";
import { browse, serve, signaling } from "./pages.mjs";

/** Where pictures go, if somebody wants to look at them. */
const pictures = process.env.PICTURES;

const SIZES = { desktop: { width: 1280, height: 800 }, phone: { width: 390, height: 844 } };

test("host, join by the link, chat, move, leave", async (t) => {
  const [url, origin, browser] = [await signaling(t), await serve(t), await browse(t)];
  const demo = `${origin}/demo/index.html?signal=${encodeURIComponent(url)}&ice=none`;
  const errors = [];
  const open = async (size, address, scale = 1) => {
    const colorScheme = size === "phone" ? "light" : "dark";
    const context = await browser.newContext({ viewport: SIZES[size], deviceScaleFactor: scale, colorScheme });
    const page = await context.newPage();
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(address);
    return page;
  };
  const picture = async (page, name) => {
    if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
  };

  const first = await open("desktop", demo);
  await picture(first, "1-start");
  await first.click("button[value=host]");
  await first.waitForSelector("#network:not([hidden])");
  const code = (await first.textContent("#shown-code")).trim();
  assert.match(code, /^[A-HJ-NP-Z2-9]{6}$/);
  await picture(first, "2-alone");

  const second = await open("phone", `${demo}#${code}`, 2);
  await picture(second, "3-phone-start");
  assert.equal(await second.inputValue("#code"), code, "the link fills in the code");
  await second.click("button[value=join]");
  await second.waitForSelector("#nodes li");
  const third = await open("desktop", `${demo}#${code}`);
  await third.fill("#code", code.toLowerCase());
  await third.press("#code", "Enter");
  await third.waitForSelector("#nodes li:nth-child(2)");

  await third.fill("#text", "hello from the third");
  await third.press("#text", "Enter");
  for (const page of [first, second]) {
    await page.waitForSelector("#lines li:has-text('hello from the third')");
  }
  await second.fill("#text", "a phone is here, too");
  await second.press("#text", "Enter");
  await first.waitForSelector("#lines li:has-text('a phone is here, too')");

  // Without a pointer.
  const place = () => first.evaluate(() => document.getElementById("field").toDataURL());
  const before = await place();
  await first.focus("#field");
  for (let step = 0; step < 5; step += 1) await first.press("#field", "ArrowLeft");
  await until("the dot has moved", 20_000, async () => (await place()) !== before);

  // Everybody moves around.
  for (let step = 0; step < 40; step += 1) {
    const angle = step / 6;
    for (const [number, page] of [first, second, third].entries()) {
      const box = await page.locator("#field").boundingBox();
      const [x, y] = [Math.cos(angle + number * 2), Math.sin(angle + number * 2)];
      await page.mouse.move(box.x + box.width * (0.5 + x * 0.3), box.y + box.height * (0.5 + y * 0.3));
    }
    await sleep(40);
  }
  // 20 a second, and fewer on a busy machine.
  const numbers = () => first.textContent("#nodes li:nth-child(1) .numbers");
  await until("states are counted", 30_000, async () => /states\s*[1-9]\d*\/s/.test(await numbers()));
  assert.match(await numbers(), /round trip\s*[\d.]+ ms/);
  await picture(first, "4-desktop");
  await picture(second, "5-phone");
  await second.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await picture(second, "6-phone-below");
  const wide = await second.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  assert.equal(wide, false, "nothing sticks out of the phone's screen");

  await third.click("#leave");
  await first.waitForSelector("#lines li:has-text('has left')");
  assert.equal(await first.locator("#nodes li").count(), 1);
  await first.close();
  await second.waitForSelector("#problem:not([hidden])");
  await picture(second, "7-phone-ended");
  assert.match(await second.textContent("#problem"), /The host closed the network/);
  assert.deepEqual(errors, []);
});
