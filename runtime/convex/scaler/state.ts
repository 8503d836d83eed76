/** The loop's one row of memory. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export async function readScalerState(ctx: QueryCtx): Promise<Doc<"scalerState"> | null> {
  return await ctx.db.query("scalerState").first();
}

/** The row, made at the first tick. */
export async function ensureScalerState(ctx: MutationCtx): Promise<Doc<"scalerState">> {
  const existing = await readScalerState(ctx);
  if (existing !== null) return existing;
  const id = await ctx.db.insert("scalerState", {
    generation: 0,
    dirty: false,
    nameSalt: Math.floor(Math.random() * 36 ** 4)
      .toString(36)
      .padStart(4, "0"),
    nextWorkerNumber: 1,
    failures: 0,
    regionBlocks: [],
  });
  return (await ctx.db.get("scalerState", id)) as Doc<"scalerState">;
}

/** Whether this pass still holds the loop. One that does not may begin no call and change no plan. */
export function holdsPass(state: Doc<"scalerState"> | null, generation: number): state is Doc<"scalerState"> {
  return state !== null && state.generation === generation && state.passStartedAt !== undefined;
}
