// The demo: chat over reliable messages, a field of dots over states, and the numbers behind both.

import { Interpolator, Network, load } from "../pkg/wattle.js";
import { qr } from "./qr.js";

const $ = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);

/** How often our dot is sent, in milliseconds. */
const TICK = 50;
/** How many samples a chart shows, one each half second. */
const SAMPLES = 60;

let network;
/** What we know of each other node. */
const others = new Map();
const own = { x: 0.5, y: 0.5, trail: [] };

// -------------------------------------------------------------------------------- beginning

// While a person still reads; what goes wrong is told when it is needed.
load().catch(() => {});

$("signal").value = query.get("signal") ?? "";
$("ice").value = query.get("ice") ?? "default";
$("topology").value = query.get("topology") ?? "star";
$("code").value = location.hash.slice(1);

$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  start("join");
});
$("start").querySelector("[value=host]").addEventListener("click", () => start("host"));

const start = async (way) => {
  const code = $("code").value.trim();
  const options = { onphase: ({ phase }) => say(`connecting: ${phase}`) };
  if ($("signal").value) options.signalingUrl = $("signal").value;
  if ($("ice").value === "none") options.iceServers = [];
  $("problem").hidden = true;
  busy(true);
  say(way === "host" ? "asking for a code" : "connecting");
  try {
    network = way === "host"
      ? await Network.host({ ...options, topology: $("topology").value, maxNodes: 16 })
      : await Network.join(code, options);
    begin();
  } catch (error) {
    $("problem").textContent = `${sentence(error.message)} ${error.remedy ?? ""}`;
    $("problem").hidden = false;
    say("not connected");
  }
  busy(false);
};

const busy = (is) => {
  for (const button of $("start").querySelectorAll("button")) button.disabled = is;
};

const say = (text) => ($("status").textContent = text);
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

const begin = () => {
  $("start").hidden = true;
  $("network").hidden = $("leave").hidden = false;
  // For those who do not see that the page is another one now.
  $("network").focus();
  $("lines").replaceChildren();
  others.clear();
  showInvitation();
  const short = nameOf(network.id);
  network.onnodejoined = ({ node }) => {
    meet(node);
    news(node, "is here");
    count();
  };
  network.onnodeleft = ({ node, message }) => {
    news(node, `has left: ${message}`);
    others.get(node)?.row.remove();
    others.delete(node);
    count();
  };
  network.onnodesuspect = ({ node }) => mark(node, "silent");
  network.onnodelost = ({ node }) => mark(node, "lost");
  network.onnodeback = ({ node }) => mark(node, undefined);
  network.onhostlost = () => news(undefined, "The host is gone; nobody else can join.");
  network.onsignalinglost = () => say("the signaling server is away: nobody can join now");
  network.onsignalingrestored = count;
  network.onmessage = ({ from, payload }) => {
    if (typeof payload?.chat === "string") line(from, payload.chat);
  };
  network.onstate = ({ from, bytes }) => {
    if (bytes.byteLength !== 24) return;
    const [sent, x, y] = new Float64Array(bytes.slice().buffer);
    meet(from).motion.push(sent, [x, y]);
  };
  network.onended = ({ message, remedy, clean }) => {
    clearInterval(ticking);
    clearInterval(looking);
    $("network").hidden = $("leave").hidden = true;
    $("start").hidden = false;
    $("code").focus({ preventScroll: true });
    say("not connected");
    if (!clean || message !== "left the network") {
      $("problem").textContent = `${sentence(message)} ${remedy}`;
      $("problem").hidden = false;
    }
  };
  say(`you are ${short}`);
  count();
  ticking = setInterval(tick, TICK);
  looking = setInterval(look, 500);
  requestAnimationFrame(draw);
};

let ticking;
let looking;

$("leave").addEventListener("click", () => network.close());

const link = () => {
  const url = new URL(location.href);
  url.hash = network.code;
  return url.href;
};

const showInvitation = () => {
  const { code } = network;
  $("invite").hidden = !code;
  if (!code) return;
  $("shown-code").value = code;
  const canvas = $("qr");
  try {
    const grid = qr(link());
    const size = grid.length + 8;
    canvas.width = canvas.height = size;
    const paper = canvas.getContext("2d");
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, size, size);
    paper.fillStyle = "#000";
    grid.forEach((row, y) => row.forEach((dark, x) => dark && paper.fillRect(x + 4, y + 4, 1, 1)));
    canvas.hidden = false;
  } catch {
    // The link is too long for a code that a phone reads.
    canvas.hidden = true;
  }
};

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(link());
  } catch {
    // Pages that came by http: may not copy, except from this machine.
    prompt("The link", link());
    return;
  }
  $("copy").textContent = "Copied";
  setTimeout(() => ($("copy").textContent = "Copy the link"), 1500);
});

// -------------------------------------------------------------------------------- who is here

const nameOf = (node) => node.slice(0, 4);

/** The style sheet's, which knows whether the page is dark or light. */
const color = (name) => colors.getPropertyValue(`--${name}`).trim();
const colors = getComputedStyle(document.documentElement);

/** A color of its own for each node. */
const colorOf = (node) => {
  let sum = 0;
  for (const letter of node) sum = (sum * 31 + letter.charCodeAt(0)) % 360;
  return `hsl(${sum} 72% ${color("node")})`;
};

const element = (tag, className, text = "") =>
  Object.assign(document.createElement(tag), { className, textContent: text });

const meet = (node) => {
  const known = others.get(node);
  if (known) return known;
  const row = element("li", "");
  const dot = element("span", "dot");
  dot.style.background = colorOf(node);
  const way = element("span", "way");
  const numbers = element("div", "numbers");
  const chart = element("canvas", "chart");
  row.append(dot, element("span", "name", nameOf(node)), way, numbers, chart);
  $("nodes").append(row);
  const motion = new Interpolator(["linear", "linear"]);
  const one = { row, way, numbers, chart, motion, trouble: undefined, times: [], states: [] };
  others.set(node, one);
  return one;
};

const mark = (node, trouble) => {
  meet(node).trouble = trouble;
  look();
};

const count = () => {
  const number = network.nodes.length;
  say(`you are ${nameOf(network.id)}, ${number === 1 ? "alone so far" : `one of ${number}`}`);
};

/** Looks at the numbers, twice a second. */
const look = () => {
  const now = performance.now();
  for (const stats of network.stats().nodes) {
    const one = meet(stats.node);
    const { state } = stats;
    one.states.push([now, state.received]);
    if (one.states.length > 5) one.states.shift();
    const [[then, before]] = one.states;
    const rate = now > then ? ((state.received - before) * 1000) / (now - then) : 0;
    one.times.push(stats.latency_ms);
    if (one.times.length > SAMPLES) one.times.shift();
    one.way.textContent = one.trouble ?? (stats.relayed ? "relayed" : "direct");
    one.way.className = `way ${one.trouble ? "silent" : stats.relayed ? "relayed" : ""}`;
    const numbers = [
      ["round trip", ms(stats.latency_ms)],
      ["states", `${rate.toFixed(0)}/s`],
      ["age", ms(state.age_ms)],
      ["stale", state.stale],
    ];
    one.numbers.replaceChildren(
      ...numbers.map(([name, value]) => {
        const span = element("span", "", name);
        span.append(element("b", "", value));
        return span;
      }),
    );
    chart(one);
  }
};

const ms = (time) => (time === null ? "–" : `${time < 10 ? time.toFixed(1) : time.toFixed(0)} ms`);

/** The round-trip times of the last half minute. */
const chart = ({ chart, times }) => {
  const [paper, width, height] = sized(chart);
  paper.clearRect(0, 0, width, height);
  const known = times.filter((time) => time !== null);
  const most = Math.max(20, ...known) * 1.15;
  const at = (time, number) => [
    width - ((times.length - 1 - number) * width) / (SAMPLES - 1),
    height - 2 - (time / most) * (height - 4),
  ];
  paper.strokeStyle = color("line");
  paper.lineWidth = 1;
  paper.strokeRect(0, height - 0.5, width, 0);
  paper.strokeStyle = color("clay");
  paper.lineWidth = 1.5;
  paper.beginPath();
  times.forEach((time, number) => time !== null && paper.lineTo(...at(time, number)));
  paper.stroke();
};

/** A canvas in the device's own pixels, whatever its size on the page. */
const sized = (canvas) => {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio;
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const paper = canvas.getContext("2d");
  paper.setTransform(scale, 0, 0, scale, 0, 0);
  return [paper, width, height];
};

// -------------------------------------------------------------------------------- the field

const field = $("field");

for (const type of ["pointermove", "pointerdown"]) {
  field.addEventListener(type, (event) => {
    own.x = Math.min(1, Math.max(0, event.offsetX / field.clientWidth));
    own.y = Math.min(1, Math.max(0, event.offsetY / field.clientHeight));
  });
}

/** So far one press of an arrow key goes, in widths of the field. */
const STRIDE = 0.03;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

field.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (!arrow) return;
  event.preventDefault();
  own.x = Math.min(1, Math.max(0, own.x + arrow[0] * STRIDE));
  own.y = Math.min(1, Math.max(0, own.y + arrow[1] * STRIDE));
});

const tick = () => {
  // Between leaving and the end there is nobody to send to.
  if (network.status !== "joined") return;
  const { x, y } = own;
  network.broadcastState(new Float64Array([performance.now(), x, y]));
};

const draw = () => {
  if (!network || $("network").hidden) return;
  const [paper, width, height] = sized(field);
  paper.clearRect(0, 0, width, height);
  paper.strokeStyle = color("grid");
  paper.lineWidth = 1;
  for (let x = 20; x < width; x += 40) stroke(paper, [x, 0], [x, height]);
  for (let y = 20; y < height; y += 40) stroke(paper, [0, y], [width, y]);
  for (const [node, one] of others) {
    const place = one.motion.sample();
    if (!place) continue;
    one.trail ??= [];
    dot(paper, one.trail, place[0] * width, place[1] * height, colorOf(node), nameOf(node));
  }
  dot(paper, own.trail, own.x * width, own.y * height, colorOf(network.id), "you");
  requestAnimationFrame(draw);
};

const stroke = (paper, from, to) => {
  paper.beginPath();
  paper.moveTo(...from);
  paper.lineTo(...to);
  paper.stroke();
};

const dot = (paper, trail, x, y, paint, name) => {
  trail.push([x, y]);
  if (trail.length > 24) trail.shift();
  paper.strokeStyle = paint;
  paper.lineCap = "round";
  trail.forEach((place, at) => {
    if (!at) return;
    paper.globalAlpha = (at / trail.length) * 0.4;
    paper.lineWidth = (at / trail.length) * 14;
    stroke(paper, trail[at - 1], place);
  });
  paper.globalAlpha = 1;
  paper.fillStyle = paint;
  paper.beginPath();
  paper.arc(x, y, 11, 0, 7);
  paper.fill();
  paper.font = "600 13px system-ui, sans-serif";
  paper.fillStyle = color("text");
  const beside = x > paper.canvas.clientWidth - 70 ? -16 - paper.measureText(name).width : 16;
  paper.fillText(name, x + beside, y + 4);
};

// -------------------------------------------------------------------------------- chat

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  try {
    network.broadcast({ chat: text });
    line(network.id, text);
    $("text").value = "";
  } catch (error) {
    news(undefined, sentence(error.message));
  }
});

const line = (node, text) => {
  const row = element("li", "");
  const name = element("b", "", node === network.id ? "you" : nameOf(node));
  name.style.color = colorOf(node);
  row.append(name, ` ${text}`);
  append(row);
};

const news = (node, text) => append(element("li", "news", node ? `${nameOf(node)} ${text}` : text));

const append = (row) => {
  $("lines").append(row);
  if ($("lines").children.length > 200) $("lines").firstChild.remove();
  // The list alone: the page stays where it is.
  $("lines").scrollTop = $("lines").scrollHeight;
};
