/** Turns the engine's output into lines worth reading: one per resource that did something. */

const DONE =
  /^\s*([+\-~]{1,2}|\+-)\s+\S*?([A-Za-z]+)\s+(\S+)\s+(created|updated|deleted|replaced)(?:\s+\(([\d.]+)s\))?/;
/** A change of the runtime config is a rollout, whose end it waits for: minutes without another line. */
const ROLLING = /^\s*~\s+\S*RuntimeConfig\s+(\S+)\s+updating\b/;
/** The two halves of a replacement, which has a line of its own. */
const HALVES: ReadonlySet<string> = new Set(["++", "--"]);
const TOOL = /\b(image|convex|rollout): \s*(.*)$/;
const COMPONENTS: ReadonlySet<string> = new Set([
  "Stack",
  "Environment",
  "FlyPlane",
  "ConvexBackend",
  "WorkerImage",
]);
/** What the Convex CLI says besides: an index per line, spinners, where it deploys to. */
const WORTH_SAYING = /^(✔ Deployed|✖|Error|error|Pushing|building|pushed|registry already|revision)/;

function lineOf(line: string): string | null {
  const done = DONE.exec(line);
  if (done) {
    const [, symbol = "", type = "", name = "", what = "", seconds] = done;
    if (COMPONENTS.has(type) || HALVES.has(symbol)) return null;
    return `${what.padEnd(8)} ${name}${seconds ? ` (${Number(seconds).toFixed(1)} s)` : ""}`;
  }
  const rolling = ROLLING.exec(line)?.[1];
  if (rolling !== undefined) return `updating ${rolling}: a rollout, which this waits for`;
  const [, tool, text = ""] = TOOL.exec(line) ?? [];
  return tool !== undefined && WORTH_SAYING.test(text) ? `${tool}: ${text.trim()}` : null;
}

/**
 * A filter for one run of the engine: passes on what is worth showing, each line once. The diagnostics at the
 * end repeat what was shown, so that nothing after their title is.
 */
export function progressFilter(show: (line: string) => void): (line: string) => void {
  const shown = new Set<string>();
  let ended = false;
  return (line) => {
    ended ||= line.startsWith("Diagnostics:");
    const text = ended ? null : lineOf(line);
    if (text === null || shown.has(text)) return;
    shown.add(text);
    show(text);
  };
}

/** `Resources:` block at the end: unchanged, created and so on, by count. */
export function resourceCounts(output: string): Record<string, number> {
  const counts: Record<string, number> = {};
  const block = output.slice(output.lastIndexOf("Resources:"));
  for (const match of block.matchAll(
    /^\s+(?:[+\-~]{1,2}\s+)?(\d+) (created|updated|deleted|replaced|unchanged)/gm,
  )) {
    counts[match[2] ?? ""] = Number(match[1]);
  }
  return counts;
}
