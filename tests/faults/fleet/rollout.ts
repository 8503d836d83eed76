/** What an operator sees of a rollout, and what the workers had to do for it. */
import type { Cloud } from "./cloud.ts";

export interface RolloutStatus {
  readonly phase: string;
  readonly finished: boolean;
  readonly image: string;
  readonly reason: string | null;
  readonly workersNew: number;
  readonly workersOld: number;
}

export const rolloutStatus = async (cloud: Cloud, revision: number): Promise<RolloutStatus> =>
  await cloud.run("query", "rolloutStatus", { revision });

/** Waits for the end of the rollout that wrote this revision, one way or the other. */
export async function rolloutEnd(cloud: Cloud, revision: number): Promise<RolloutStatus> {
  await cloud.until(
    `the rollout of revision ${revision} has ended`,
    async () => (await rolloutStatus(cloud, revision)).finished,
    120_000,
  );
  return await rolloutStatus(cloud, revision);
}

/** Turns that workers gave back or failed since the backend was started. */
export async function interruptedTurns(cloud: Cloud): Promise<{ released: number; failed: number }> {
  const metrics = await cloud.backend.metrics();
  return { released: metrics["worker:release"]?.calls ?? 0, failed: metrics["worker:fail"]?.calls ?? 0 };
}

/** The images that live workers run. */
export async function imagesInUse(cloud: Cloud): Promise<Set<string>> {
  const rows = (await cloud.backend.table("workers")).filter(({ state }) => state !== "stopped");
  return new Set(rows.map(({ image }) => image as string));
}
