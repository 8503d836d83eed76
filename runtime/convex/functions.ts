/**
 * Who may call what, in one place. Every function of the backend is made by one of these builders.
 *
 * - worker*: public. The first argument is the worker's credential, which the builder consumes.
 * - internal* (straight from `_generated/server`): operators with the admin key, the scheduler, other functions.
 * - consumer apps come over HTTPS with a service key; their handlers call internal functions.
 *
 * No other public builder exists: a raw `query`, `mutation` or `action` is refused by lint.
 */
import { customMutation, customQuery } from "convex-helpers/server/customFunctions";
import type { Doc } from "./_generated/dataModel.js";
import { mutation, type MutationCtx, query, type QueryCtx } from "./_generated/server.js";
import { FactoryError } from "./errors.ts";
import { constantTimeEqual, sha256Hex } from "./secrets/digest.ts";
import { vWorkerCredential, type WorkerCredential } from "./validators.ts";

export type WorkerQueryCtx = QueryCtx & { worker: Doc<"workers"> };
export type WorkerMutationCtx = MutationCtx & { worker: Doc<"workers"> };

/** What an unknown worker's token is compared with: no token hashes to it, and the work done is the same. */
const NO_TOKEN_HASH = "0".repeat(64);

/** Ids and tokens longer than this are refused before they are hashed. */
const CREDENTIAL_MAX_CHARS = 256;

function refuse(): never {
  // One text for every reason: the caller learns nothing about which workers exist.
  throw new FactoryError("unauthorized", "Unknown worker or wrong token");
}

async function tokenMatches(credential: WorkerCredential, tokenHash: string | undefined): Promise<boolean> {
  if (credential.token.length > CREDENTIAL_MAX_CHARS) return false;
  const matches = constantTimeEqual(await sha256Hex(credential.token), tokenHash ?? NO_TOKEN_HASH);
  return matches && tokenHash !== undefined;
}

/** The caller's own row. A stopped worker has no token hash any more: its token died with its machine. */
async function authenticateWorker(ctx: QueryCtx, credential: WorkerCredential): Promise<Doc<"workers">> {
  if (credential.workerId.length > CREDENTIAL_MAX_CHARS) refuse();
  const worker = await ctx.db
    .query("workers")
    .withIndex("by_worker_id", (q) => q.eq("workerId", credential.workerId))
    .first();
  const matches = await tokenMatches(credential, worker?.tokenHash);
  if (worker === null || !matches || worker.state === "stopped") refuse();
  return worker;
}

export const workerQuery = customQuery(query, {
  args: { credential: vWorkerCredential },
  input: async (ctx: QueryCtx, { credential }: { credential: WorkerCredential }) => ({
    ctx: { worker: await authenticateWorker(ctx, credential) },
    args: {},
  }),
});

export const workerMutation = customMutation(mutation, {
  args: { credential: vWorkerCredential },
  input: async (ctx: MutationCtx, { credential }: { credential: WorkerCredential }) => ({
    ctx: { worker: await authenticateWorker(ctx, credential) },
    args: {},
  }),
});

/**
 * For the one subscription. It authenticates against the worker's signal row, because a subscription is run
 * again whenever a document that it read changes, and `workers` changes with every heartbeat.
 */
export const workerSubscription = customQuery(query, {
  args: { credential: vWorkerCredential },
  input: async (ctx: QueryCtx, { credential }: { credential: WorkerCredential }) => {
    if (credential.workerId.length > CREDENTIAL_MAX_CHARS) refuse();
    const signals = await ctx.db
      .query("workerSignals")
      .withIndex("by_worker_id", (q) => q.eq("workerId", credential.workerId))
      .first();
    if (signals === null || !(await tokenMatches(credential, signals.tokenHash))) refuse();
    return { ctx: { signals }, args: {} };
  },
});
