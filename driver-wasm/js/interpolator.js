import { kindOf, optionsOf } from "./checks.js";
import { attempt, usage } from "./errors.js";
import { isLoaded } from "./loading.js";
import { Interpolator as Motion } from "./wattle_wasm.js";

/** Makes smooth motion out of another node's states. */
export class Interpolator {
  #motion;
  #values;

  /** To be made when the module is there: after `Network.host`, `Network.join` or `load`. */
  constructor(components, options) {
    if (!isLoaded) throw usage("the module is not loaded yet", "Await load() before, or Network.host or join.");
    if (!Array.isArray(components)) {
      throw usage(`components: a list is wanted, not ${kindOf(components)}`);
    }
    const { delay, extrapolation } = optionsOf(options);
    for (const [name, time] of Object.entries({ delay, extrapolation })) {
      if (time !== undefined && !(time >= 0)) throw usage(`${name}: milliseconds are wanted`);
    }
    this.#motion = attempt(() => new Motion(components, delay, extrapolation));
    this.#values = new Float32Array(components.length);
  }

  /** Takes a snapshot that its sender made at `sent`, milliseconds of its own clock. */
  push(sent, values, { arrived = performance.now(), teleport = false } = {}) {
    if (!(values?.length >= this.#values.length)) {
      throw usage(`a snapshot has ${this.#values.length} numbers here, this has ${values?.length ?? "none"}`);
    }
    return this.#motion.push(arrived, sent, values, teleport);
  }

  /** What to draw now; `undefined` before the first snapshot. The array is used again. */
  sample(now = performance.now()) {
    return this.#motion.sample(now, this.#values) ? this.#values : undefined;
  }

  /** Forgets everything: a new round. */
  reset() {
    this.#motion.reset();
  }
}
