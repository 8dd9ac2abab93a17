// QR codes (ISO/IEC 18004): byte mode, error correction M, versions 1 to 10, which is 213 bytes.

/** Per version: codewords of correction per block, and the blocks' data codewords. */
const BLOCKS = [
  [10, [16]], [16, [28]], [26, [44]], [18, [32, 32]], [24, [43, 43]],
  [16, [27, 27, 27, 27]], [18, [31, 31, 31, 31]], [22, [38, 38, 39, 39]],
  [22, [36, 36, 36, 37, 37]], [26, [43, 43, 43, 43, 44]],
];
const ALIGNMENT = [
  [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34],
  [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50],
];

// The field of 256 elements, by powers of its generator.
const [EXP, LOG] = (() => {
  const exp = new Uint8Array(512);
  const log = new Uint8Array(256);
  for (let power = 0, value = 1; power < 255; power += 1) {
    exp[power] = exp[power + 255] = value;
    log[value] = power;
    value = (value << 1) ^ (value & 128 ? 0x11d : 0);
  }
  return [exp, log];
})();

/** The remainder that corrects errors (Reed-Solomon). */
const correction = (data, length) => {
  let generator = [1];
  for (let root = 0; root < length; root += 1) {
    const next = new Array(generator.length + 1).fill(0);
    generator.forEach((factor, place) => {
      next[place] ^= factor;
      if (factor) next[place + 1] ^= EXP[LOG[factor] + root];
    });
    generator = next;
  }
  const rest = new Uint8Array(data.length + length);
  rest.set(data);
  for (let place = 0; place < data.length; place += 1) {
    const lead = rest[place];
    if (!lead) continue;
    generator.forEach((factor, step) => {
      if (factor) rest[place + step] ^= EXP[LOG[factor] + LOG[lead]];
    });
  }
  return rest.subarray(data.length);
};

/** The codewords of a text, blocks interleaved, and the version that they fit. */
const codewords = (text) => {
  const bytes = new TextEncoder().encode(text);
  const total = (index) => BLOCKS[index][1].reduce((sum, block) => sum + block, 0);
  const header = (index) => (index < 9 ? 12 : 20);
  const index = BLOCKS.findIndex((_, at) => bytes.length * 8 + header(at) <= total(at) * 8);
  if (index < 0) throw new RangeError("too long for this QR code");
  const bits = [];
  const put = (value, count) => {
    for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
  };
  put(4, 4);
  put(bytes.length, index < 9 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, total(index) * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data = [];
  for (let at = 0; at < bits.length; at += 8) {
    data.push(bits.slice(at, at + 8).reduce((value, bit) => value * 2 + bit, 0));
  }
  for (let pad = 0xec; data.length < total(index); pad ^= 0xec ^ 0x11) data.push(pad);

  const [length, sizes] = BLOCKS[index];
  let from = 0;
  const blocks = sizes.map((size) => data.slice(from, (from += size)));
  const corrections = blocks.map((block) => correction(Uint8Array.from(block), length));
  const words = [];
  for (let at = 0; at < Math.max(...sizes); at += 1) {
    for (const block of blocks) if (at < block.length) words.push(block[at]);
  }
  for (let at = 0; at < length; at += 1) for (const rest of corrections) words.push(rest[at]);
  return { words, version: index + 1 };
};

const MASKS = [
  (x, y) => (x + y) % 2 === 0,
  (x, y) => y % 2 === 0,
  (x) => x % 3 === 0,
  (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(y / 2) + Math.floor(x / 3)) % 2 === 0,
  (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** How hard it is to read: long runs, large areas, what looks like a finder, too much of one kind. */
const penalty = (grid) => {
  const size = grid.length;
  let sum = 0;
  for (const lines of [grid, grid[0].map((_, x) => grid.map((row) => row[x]))]) {
    for (const line of lines) {
      const text = line.map(Number).join("");
      for (const [run] of text.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
      sum += 40 * [...text.matchAll(/(?=10111010000|00001011101)/g)].length;
    }
  }
  let dark = 0;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      dark += grid[y][x] ? 1 : 0;
      const same = x && y && [grid[y][x - 1], grid[y - 1][x], grid[y - 1][x - 1]];
      if (same && same.every((other) => other === grid[y][x])) sum += 3;
    }
  }
  return sum + 10 * Math.floor(Math.abs((dark * 20) / (size * size) - 10));
};

/** The QR code of a text: rows of booleans, `true` is dark. */
export const qr = (text) => {
  const { words, version } = codewords(text);
  const size = 17 + 4 * version;
  const base = Array.from({ length: size }, () => new Array(size).fill(undefined));
  const square = (left, top, width, dark) => {
    for (let y = top; y < top + width; y += 1) {
      for (let x = left; x < left + width; x += 1) {
        if (base[y]?.[x] !== undefined || (y >= 0 && y < size && x >= 0 && x < size)) {
          base[y][x] = dark;
        }
      }
    }
  };
  for (const [x, y] of [[0, 0], [size - 7, 0], [0, size - 7]]) {
    square(x - 1, y - 1, 9, false);
    square(x, y, 7, true);
    square(x + 1, y + 1, 5, false);
    square(x + 2, y + 2, 3, true);
  }
  const places = ALIGNMENT[version - 1];
  const last = places.at(-1);
  for (const y of places) {
    for (const x of places) {
      const finder = (x === 6 && y === 6) || (x === 6 && y === last) || (x === last && y === 6);
      if (finder) continue;
      square(x - 2, y - 2, 5, true);
      square(x - 1, y - 1, 3, false);
      square(x, y, 1, true);
    }
  }
  for (let at = 8; at < size - 8; at += 1) {
    base[6][at] = base[at][6] = at % 2 === 0;
  }
  base[size - 8][8] = true;
  // Where format and version stand: filled in at the end.
  const format = [];
  for (let bit = 0; bit < 15; bit += 1) {
    const first = bit < 6 ? [8, bit] : bit < 8 ? [8, bit + 1] : bit === 8 ? [7, 8] : [14 - bit, 8];
    const second = bit < 8 ? [size - 1 - bit, 8] : [8, size - 15 + bit];
    format.push(first, second);
    for (const [x, y] of [first, second]) base[y][x] = false;
  }
  if (version >= 7) {
    let rest = version;
    for (let step = 0; step < 12; step += 1) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let bit = 0; bit < 18; bit += 1) {
      const [far, near] = [size - 11 + (bit % 3), Math.floor(bit / 3)];
      base[far][near] = base[near][far] = ((bits >> bit) & 1) === 1;
    }
  }

  const free = [];
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right -= 1;
    for (let step = 0; step < size; step += 1) {
      const y = up ? size - 1 - step : step;
      for (const x of [right, right - 1]) if (base[y][x] === undefined) free.push([x, y]);
    }
  }
  const drawn = MASKS.map((mask, number) => {
    const grid = base.map((row) => [...row]);
    free.forEach(([x, y], at) => {
      const dark = (words[at >> 3] >> (7 - (at & 7))) & 1;
      grid[y][x] = (dark === 1) !== mask(x, y);
    });
    // Error correction M is 00.
    let rest = number;
    for (let step = 0; step < 10; step += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
    const bits = ((number << 10) | rest) ^ 0x5412;
    format.forEach(([x, y], at) => {
      grid[y][x] = ((bits >> Math.floor(at / 2)) & 1) === 1;
    });
    return grid;
  });
  return drawn.reduce((best, grid) => (penalty(grid) < penalty(best) ? grid : best));
};
