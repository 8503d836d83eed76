/** The runtime config, read at use: one document. */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";

/** `retired`: the stack is being destroyed, so that nothing new may be started. */
export type ActiveConfig = { revision: number; config: RuntimeConfig; retired?: boolean };

export async function readConfigRow(ctx: QueryCtx): Promise<Doc<"runtimeConfig"> | null> {
  return await ctx.db.query("runtimeConfig").first();
}

/** null before the stack has applied one. */
export async function readRuntimeConfigOrNull(ctx: QueryCtx): Promise<ActiveConfig | null> {
  const row = await readConfigRow(ctx);
  if (row === null) return null;
  // Parsed by its only writer (config/apply.ts): parsing again at each read would cost more than it could find.
  return {
    revision: row.revision,
    config: row.config as RuntimeConfig,
    ...(row.retiredAt === undefined ? {} : { retired: true }),
  };
}

/** @throws not_configured before the stack has applied one. */
export async function readRuntimeConfig(ctx: QueryCtx): Promise<ActiveConfig> {
  const active = await readRuntimeConfigOrNull(ctx);
  if (active === null) {
    throw new FactoryError(
      "not_configured",
      "Runtime config has not been applied yet. Run `pulumi up` for this stack.",
    );
  }
  return active;
}
