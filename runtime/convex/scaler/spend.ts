import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { decideSpend, usedToday, utcDay } from "../policy/spend.ts";

export interface SpendView {
  reached: boolean;
  /** What a person should read; empty while nothing is reached. */
  text: string;
  usedMs: number;
  /** When the answer may change by itself, ms. */
  checkAt: number | null;
}

/** Machine time used today against the stack's ceiling. */
export async function readSpend(
  ctx: QueryCtx,
  workers: ReadonlyArray<Doc<"workers">>,
  config: RuntimeConfig,
): Promise<SpendView> {
  const now = Date.now();
  const limit = config.spend.machineHoursPerDayMax;
  const booked = await ctx.db
    .query("machineUsage")
    .withIndex("by_day", (q) => q.eq("day", utcDay(now)))
    .first();
  const running = workers.flatMap((worker) =>
    worker.runningSince === undefined ? [] : [worker.runningSince],
  );
  const usedMs = usedToday(booked?.ms ?? 0, running, now);
  const verdict = decideSpend(limit, usedMs, running.length, now);
  if (!verdict.reached) return { reached: false, text: "", usedMs, checkAt: verdict.reachedAt };
  const text = `the day's ${limit} machine-hours are used up; messages wait until ${new Date(verdict.untilMs).toISOString()}`;
  return { reached: true, text, usedMs, checkAt: verdict.untilMs };
}
