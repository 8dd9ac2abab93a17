// Parts of wattle that these tests are about and that are not there yet: a test of such a part is
// skipped and says why. `false`: it is there.

export const AWAITED = {
  stun: false,
  turn: false,
  report: false,
  recovery: false,
  doctor: false,
  lifetime: false,
  credentials: false,
};

/** What a test needs: why it is skipped, or `false`. */
export const needs = (...parts) => parts.map((part) => AWAITED[part]).find(Boolean) ?? false;
