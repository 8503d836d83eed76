/** Turns the engine's output into lines worth reading: one per resource that did something. */

const DONE =
  /^\s*([+\-~]{1,2}|\+-)\s+\S*?([A-Za-z]+)\s+(\S+)\s+(created|updated|deleted|replaced)(?:\s+\(([\d.]+)s\))?/;
const PROGRESS = /(image|convex): (.*)$/;

/** The line to show for one line of `pulumi`'s output, or null. */
export function progressLine(line: string): string | null {
  const done = DONE.exec(line);
  if (done) {
    const [, , type = "", name = "", what = "", seconds] = done;
    if (["Stack", "Environment", "FlyPlane", "ConvexBackend", "WorkerImage"].includes(type)) return null;
    return `${what.padEnd(8)} ${name}${seconds ? ` (${Number(seconds).toFixed(1)} s)` : ""}`;
  }
  const progress = PROGRESS.exec(line);
  // The CLI lists every index it adds: forty lines that say nothing to a person.
  if (progress?.[2] && !line.includes("Diagnostics") && !/^\[[+-]\]/.test(progress[2]))
    return `${progress[1]}: ${progress[2].trim()}`;
  return null;
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
