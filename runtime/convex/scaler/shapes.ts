/** What passes between the scaler's action and its mutations. */
import { type Infer, v } from "convex/values";
import { vMachineOp } from "../machines/tables.ts";

export const vObserved = v.object({
  machineId: v.string(),
  name: v.string(),
  state: v.string(),
  region: v.string(),
  owner: v.union(v.string(), v.null()),
  workerId: v.union(v.string(), v.null()),
  image: v.union(v.string(), v.null()),
  hostReachable: v.boolean(),
});

/** What one app's listing showed. */
export const vListing = v.object({ appName: v.string(), machines: v.array(vObserved) });
export type Listing = Infer<typeof vListing>;

export const vDemand = v.object({
  due: v.number(),
  running: v.number(),
  perOwner: v.optional(v.array(v.number())),
});

export const vOpKind = vMachineOp.fields.kind;
export type OpKind = Infer<typeof vOpKind>;

/** One call that the plan asks for: about a worker, or about a machine that nobody owns. */
export const vPlannedOp = v.union(
  v.object({ target: v.literal("worker"), workerId: v.string(), kind: vOpKind }),
  v.object({ target: v.literal("orphan"), appName: v.string(), machineId: v.string() }),
);
export type PlannedOp = Infer<typeof vPlannedOp>;

const vGuest = v.object({
  cpuKind: v.union(v.literal("shared"), v.literal("performance")),
  cpus: v.number(),
  memoryMb: v.number(),
});

/** What the action needs to make one call; the token of a new worker is derived here and stored nowhere. */
export const vInstruction = v.union(
  v.object({
    kind: v.literal("create"),
    appName: v.string(),
    name: v.string(),
    image: v.string(),
    env: v.record(v.string(), v.string()),
    metadata: v.record(v.string(), v.string()),
    guest: vGuest,
    killTimeoutMs: v.number(),
    minSecretsVersion: v.union(v.number(), v.null()),
    /** In the order in which they are tried. */
    regions: v.array(v.string()),
    volumeSizeGb: v.union(v.number(), v.null()),
  }),
  v.object({
    kind: v.literal("machine"),
    appName: v.string(),
    op: vOpKind,
    machineId: v.string(),
    timeoutMs: v.number(),
    volumeId: v.union(v.string(), v.null()),
  }),
);
export type Instruction = Infer<typeof vInstruction>;

const vFailureKind = v.union(
  v.literal("not_found"),
  v.literal("name_taken"),
  v.literal("no_capacity"),
  v.literal("quota"),
  v.literal("auth"),
  v.literal("not_owned"),
  v.literal("rate_limited"),
  v.literal("secrets_pending"),
  v.literal("busy"),
  v.literal("rejected"),
  v.literal("unreachable"),
  v.literal("unknown"),
);

export const vFailure = v.object({
  kind: vFailureKind,
  message: v.string(),
  retryAfterMs: v.union(v.number(), v.null()),
});
export type Failure = Infer<typeof vFailure>;

export const vOutcome = v.union(
  v.object({
    ok: v.literal(true),
    /** The machine as the answer showed it; null when the call returns none. */
    machine: v.union(vObserved, v.null()),
    volumeId: v.optional(v.string()),
    regionsWithoutRoom: v.array(v.string()),
  }),
  v.object({
    ok: v.literal(false),
    failure: vFailure,
    volumeId: v.optional(v.string()),
    regionsWithoutRoom: v.array(v.string()),
  }),
);
export type Outcome = Infer<typeof vOutcome>;
