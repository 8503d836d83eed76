/** Ends workers in the middle of their turns, and measures how soon somebody else has those turns. */
import type { Cloud } from "./cloud.ts";

export interface Kill {
  readonly workerId: string;
  readonly at: number;
  /** Messages it held. */
  readonly held: readonly string[];
  /** How long until the scaler counted it no more, ms. */
  readonly noticedMs: number;
  /** How the backend put it. */
  readonly reason: string;
}

/** The busiest worker whose process runs: who, and its processes. */
async function busyWorker(cloud: Cloud) {
  const rows = await cloud.backend.table("workers");
  const machines = await cloud.machines();
  const busy = rows
    .filter((row) => row.state === "active" && row.load > 0)
    .toSorted((a, b) => b.load - a.load)
    .flatMap((row) => {
      const machine = machines.find(({ name, process }) => name === row.workerId && process?.main != null);
      return machine?.process
        ? [{ workerId: row.workerId as string, machine, process: machine.process }]
        : [];
    });
  return busy[0];
}

/**
 * Kills the busiest worker and waits until the backend has noticed.
 * @param how `crash`: all its processes, by SIGKILL. `stop`: Fly's own stop. `terminate`: SIGTERM to the worker.
 */
export async function killBusyWorker(cloud: Cloud, how: "crash" | "stop" | "terminate"): Promise<Kill> {
  let victim: Awaited<ReturnType<typeof busyWorker>>;
  await cloud.until("a worker is busy", async () => (victim = await busyWorker(cloud)) !== undefined);
  if (victim === undefined) throw new Error("unreachable");
  const { workerId, machine } = victim;
  const holds = async (): Promise<string[]> =>
    (await cloud.backend.table("messageQueue"))
      .filter((row) => row.status === "processing" && row.workerId === workerId)
      .map((row) => row._id as string);
  // Asked to stop, a worker gives its turns back at once; dead, it keeps them until somebody notices.
  let held = how === "crash" ? [] : await holds();
  const at = Date.now();
  switch (how) {
    case "crash":
      process.kill(-victim.process.group, "SIGKILL");
      break;
    case "terminate":
      process.kill(victim.process.main ?? 0, "SIGTERM");
      break;
    case "stop":
      await cloud.fly.call("POST", `/v1/apps/${cloud.app}/machines/${machine.id}/stop`);
      break;
  }
  if (how === "crash") held = await holds();
  let reason = "";
  const noticedMs = await cloud.until(`${workerId} is noticed to be gone`, async () => {
    const row = (await cloud.backend.table("workers")).find((one) => one.workerId === workerId);
    reason = row?.stopReason ?? "";
    return row?.state !== "active";
  });
  return { workerId, at, held, noticedMs, reason };
}

const median = (values: readonly number[]): number =>
  Math.round(values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0);

/** Prints how long the messages that were in hand at a kill waited for their next worker, and for their answer. */
export async function tellRecovery(cloud: Cloud, what: string, kills: readonly Kill[]): Promise<void> {
  const rows = new Map((await cloud.backend.table("messageQueue")).map((row) => [row._id as string, row]));
  const taken: number[] = [];
  const answered: number[] = [];
  for (const { held, at } of kills) {
    for (const id of held) {
      const row = rows.get(id);
      // Finished before the signal took effect, or taken over more than once: not this kill's figure.
      if (row === undefined || row.claimedAt < at) continue;
      taken.push(row.claimedAt - at);
      answered.push(row.finishedAt - at);
    }
  }
  const noticed = kills.map(({ noticedMs }) => noticedMs);
  const figures = (values: readonly number[]): string =>
    `median ${median(values)} ms, at most ${Math.round(Math.max(0, ...values))} ms`;
  process.stdout.write(
    `${kills.length} × ${what}: noticed after ${figures(noticed)}; ` +
      `${taken.length} turns in hand taken over after ${figures(taken)}, answered after ${figures(answered)}\n`,
  );
}
