/**
 * One message, from its claim to its last call. Whatever happens, the backend hears of it at once: answered,
 * failed, or released; only a lost lease ends in silence, because nothing that this worker says counts any more.
 */
import type { Claim } from "../../convex/validators.ts";
import { answer, type AnswerDeps } from "./answer.ts";
import { GatewayUnavailableError } from "./agent/rpc.ts";
import { BackendError } from "./backend/backend.ts";
import { patiently } from "./backend/patient.ts";
import { errorName } from "./errorName.ts";
import { keepLease, type LeaseKeeper, TurnEnded } from "./lease.ts";
import { type OwnerGuard, WorkerSpent } from "./owner.ts";
import { pause } from "./pause.ts";
import { RestoreError } from "./snapshot/restore.ts";
import { TurnFailed } from "./turnFailed.ts";

export interface TurnDeps extends AnswerDeps {
  owner: OwnerGuard;
  onHeartbeat?: (reached: boolean) => void;
}

export type TurnEnd =
  | { kind: "answered"; hydrateMs: number; modelMs: number; snapshotMs: number; uploadedBytes: number }
  | { kind: "released"; reason: "cancelled" | "drain" | "spent" }
  /** Its words are the backend's to keep: they may quote a provider, which may quote a person. */
  | { kind: "failed"; errorKind: "retryable" | "permanent"; error: string }
  /** Another worker owns the message now, or it is gone. */
  | { kind: "lost" };

/** Starts keeping the lease and serves the message. `ended` never rejects. */
export function beginTurn(
  claim: Claim,
  claimedAt: number,
  deps: TurnDeps,
): { keeper: LeaseKeeper; ended: Promise<TurnEnd> } {
  const keeper = keepLease(deps.backend, claim, claimedAt, { onHeartbeat: deps.onHeartbeat });
  deps.reached?.("claimed");
  const ended = serve(claim, keeper, deps).finally(() => keeper.stop());
  return { keeper, ended };
}

async function serve(claim: Claim, keeper: LeaseKeeper, deps: TurnDeps): Promise<TurnEnd> {
  try {
    const answered = await deps.owner.serve(claim, async () => {
      keeper.signal.throwIfAborted();
      return await answer(claim, keeper, { ...deps, backend: patiently(deps.backend, keeper.signal) });
    });
    return answered === null ? { kind: "lost" } : { kind: "answered", ...answered };
  } catch (error) {
    // The engine may have written half a turn: only the backend's snapshot is known to be good.
    deps.residents.evict(claim.conversationId);
    return await giveBack(claim, keeper, deps, error);
  }
}

const REPORT_ATTEMPTS_MAX = 3;
const REPORT_RETRY_MS = 500;

/** Tells the backend why there is no answer. Both calls are fenced, so that repeating one is harmless. */
async function giveBack(claim: Claim, keeper: LeaseKeeper, deps: TurnDeps, error: unknown): Promise<TurnEnd> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await reportEnd(claim, keeper, deps, error);
    } catch (reportError) {
      const hopeless =
        reportError instanceof BackendError && ["permanent", "unauthorized"].includes(reportError.kind);
      if (hopeless || attempt === REPORT_ATTEMPTS_MAX) {
        // The backend cannot be told. The lease expires by itself, which is the one case left to it.
        const { messageId, leaseId } = claim;
        deps.log.error(
          { messageId, leaseId, error: errorName(reportError) },
          "The end of a turn could not be reported",
        );
        return { kind: "lost" };
      }
      await pause(REPORT_RETRY_MS * attempt);
    }
  }
}

async function reportEnd(
  claim: Claim,
  keeper: LeaseKeeper,
  deps: TurnDeps,
  error: unknown,
): Promise<TurnEnd> {
  const ended = keeper.signal.reason instanceof TurnEnded ? keeper.signal.reason.reason : null;
  switch (ended) {
    case "lease_lost":
      return { kind: "lost" };
    case "cancelled":
    case "drain": {
      const released = await deps.backend.release(keeper.ref, ended);
      return released ? { kind: "released", reason: ended } : { kind: "lost" };
    }
    case "deadline":
      return await fail(deps, keeper, keeper.signal.reason, {
        errorKind: "retryable",
        message: `The turn took longer than ${claim.turnTimeoutMs} ms`,
      });
    case null:
      if (error instanceof WorkerSpent) {
        // As a drain: another worker takes it, and no attempt is spent.
        const released = await deps.backend.release(keeper.ref, "drain");
        return released ? { kind: "released", reason: "spent" } : { kind: "lost" };
      }
      return await fail(deps, keeper, error, { errorKind: errorKindOf(error), message: describe(error) });
  }
}

async function fail(
  deps: TurnDeps,
  keeper: LeaseKeeper,
  error: unknown,
  { errorKind, message }: { errorKind: "retryable" | "permanent"; message: string },
): Promise<TurnEnd> {
  const outcome = await deps.backend.fail(keeper.ref, message, errorKind);
  const isHeard = outcome.requeued || outcome.deadLettered;
  return isHeard ? { kind: "failed", errorKind, error: errorName(error) } : { kind: "lost" };
}

/** Only what the backend itself calls permanent is permanent: a model, a gateway or a network may recover. */
function errorKindOf(error: unknown): "retryable" | "permanent" {
  return error instanceof BackendError && error.kind === "permanent" ? "permanent" : "retryable";
}

const MESSAGE_CHARS_MAX = 500;

/** Words for an operator, bounded. */
function describe(error: unknown): string {
  const known = error instanceof TurnFailed || error instanceof RestoreError || error instanceof BackendError;
  if (known) return error.message.slice(0, MESSAGE_CHARS_MAX);
  if (error instanceof GatewayUnavailableError) {
    return `The agent engine was not available: ${error.message}`.slice(0, MESSAGE_CHARS_MAX);
  }
  return (error instanceof Error ? `${error.name}: ${error.message}` : String(error)).slice(
    0,
    MESSAGE_CHARS_MAX,
  );
}
