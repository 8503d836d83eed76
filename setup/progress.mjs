// Progress lines of the set-up: one line per step when it is done, and a sign of life while it takes long.

/** A step that takes longer than this says so, again and again; in milliseconds. */
const signOfLifeMs = 15_000;

/** An expected failure: its message says what is wrong and what to do; no stack is shown. */
export class SetupError extends Error {}

/** @param {number} ms */
export function duration(ms) {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const rounded = Math.round(seconds);
  if (rounded < 60) return `${rounded} s`;
  return `${Math.floor(rounded / 60)} min ${String(rounded % 60).padStart(2, "0")} s`;
}

const nameWidth = 16;

/** @param {string} mark @param {string} name @param {string} text */
export function say(mark, name, text) {
  process.stdout.write(`  ${mark} ${name.padEnd(nameWidth)} ${text}\n`);
}

/**
 * Runs one step: announces it, shows every 15 s that it is alive, and says what came of it.
 * `work` gets a setter for the text that the sign of life carries.
 * @template T
 * @param {string} name
 * @param {string} announcement
 * @param {(detail: (text: string) => void) => Promise<{ text: string, value: T }>} work
 * @returns {Promise<T>}
 */
export async function step(name, announcement, work) {
  const start = performance.now();
  let detail = "";
  say("…", name, announcement);
  const timer = setInterval(() => {
    const elapsed = duration(performance.now() - start);
    say("…", name, detail === "" ? elapsed : `${elapsed}, ${detail}`);
  }, signOfLifeMs);
  try {
    const { text, value } = await work((shown) => {
      detail = shown;
    });
    say("✓", name, `${text} (${duration(performance.now() - start)})`);
    return value;
  } finally {
    clearInterval(timer);
  }
}
