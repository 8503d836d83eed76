/**
 * The backend's runtime config, written by the stack alone with compare-and-set on its revision. When asked to,
 * it waits for the rollout that the write started and fails with its reason.
 */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { canonicalJson } from "../platform/canonicalJson.ts";
import { isOutcomeUnknown } from "../platform/http.ts";
import { pause } from "../platform/pause.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { importRefused } from "./importing.ts";

interface RuntimeConfigInputs {
  convex: ConvexAccess;
  owner: string;
  config: Record<string, unknown>;
  waitForRollout: boolean;
  rolloutTimeoutSeconds: number;
}

interface RuntimeConfigState extends RuntimeConfigInputs {
  revision: number;
}

interface StoredConfig {
  revision: number;
  config: Record<string, unknown>;
  owner: string;
  retired: boolean;
}

interface RolloutStatus {
  phase: string;
  finished: boolean;
  reason?: string | null;
  workersNew: number;
  workersNewReady: number;
  workersOld: number;
}

const ACTOR = "pulumi";
/** Longest wait for the workers to end before the app is destroyed, ms: above the largest kill timeout. */
const DRAIN_WAIT_MS = 330_000;

async function stored(convex: ConvexAccess): Promise<StoredConfig | null> {
  return runConvexFunction<StoredConfig | null>(convex, "factory:runtimeConfig", {});
}

async function apply(inputs: RuntimeConfigInputs): Promise<RuntimeConfigState> {
  const before = await stored(inputs.convex);
  const { revision } = await runConvexFunction<{ revision: number }>(
    inputs.convex,
    "factory:applyRuntimeConfig",
    {
      config: inputs.config,
      expectedRevision: before?.revision ?? null,
      owner: inputs.owner,
      actor: ACTOR,
    },
  );
  if (inputs.waitForRollout) await waitForRollout(inputs, revision);
  return { ...inputs, revision };
}

/** One look at the rollout. One that gets no answer is repeated: a long wait must survive a passing fault. */
async function look(convex: ConvexAccess, revision: number, deadline: number): Promise<RolloutStatus | null> {
  for (;;) {
    try {
      return await runConvexFunction<RolloutStatus | null>(convex, "factory:rolloutStatus", { revision });
    } catch (error) {
      if (!isOutcomeUnknown(error) || Date.now() > deadline) throw error;
      await pause(1_000);
    }
  }
}

/** How a rollout goes, for who waits for it: the engine shows what a provider prints, each line once. */
function progressOf({ phase, workersNew, workersNewReady, workersOld }: RolloutStatus): string {
  return `${phase}, ${workersNewReady} of ${workersNew} new workers ready, ${workersOld} old`;
}

/** @throws Error with the reason when the rollout was rolled back or did not end in time. */
async function waitForRollout(inputs: RuntimeConfigInputs, revision: number): Promise<void> {
  const deadline = Date.now() + inputs.rolloutTimeoutSeconds * 1_000;
  let told = "";
  for (;;) {
    const status = await look(inputs.convex, revision, deadline);
    const progress = status === null || status.finished ? told : progressOf(status);
    if (progress !== told) console.info(`rollout: revision ${revision} ${progress}`);
    told = progress;
    // Without a rollout of its own the revision needed no new machines.
    if (status === null || (status.finished && status.phase !== "rolled_back")) return;
    if (status.phase === "rolled_back") {
      throw new Error(
        `The rollout of revision ${revision} was rolled back: ${status.reason ?? "no reason recorded"}. The previous image serves. See \`npm run factory -- rollouts status\`, fix the cause and run \`pulumi up\` again.`,
      );
    }
    if (Date.now() > deadline) {
      throw new Error(
        `The rollout of revision ${revision} is still in phase '${status.phase}' after ${inputs.rolloutTimeoutSeconds} s. It goes on in the backend: see \`npm run factory -- rollouts\`.`,
      );
    }
    await pause(1_000);
  }
}

/** @throws Error when workers are left after the longest time that a drain may take. */
async function drain(state: RuntimeConfigState): Promise<void> {
  await runConvexFunction(state.convex, "factory:retireRuntimeConfig", { owner: state.owner, actor: ACTOR });
  const deadline = Date.now() + DRAIN_WAIT_MS;
  while (Date.now() < deadline) {
    const { live } = await runConvexFunction<{ live: number }>(state.convex, "factory:workersLeft", {});
    if (live === 0) return;
    await pause(500);
  }
  throw new Error(
    "Some workers are still running after the drain. Run `pulumi destroy` again; `npm run factory -- workers list` lists them.",
  );
}

export class RuntimeConfigProvider implements pulumi.dynamic.ResourceProvider<
  RuntimeConfigInputs,
  RuntimeConfigState
> {
  async create(inputs: RuntimeConfigInputs): Promise<pulumi.dynamic.CreateResult<RuntimeConfigState>> {
    return { id: inputs.owner, outs: await apply(inputs) };
  }

  async read(id: string, state?: RuntimeConfigState): Promise<pulumi.dynamic.ReadResult<RuntimeConfigState>> {
    if (!state) throw importRefused();
    const current = await unlessDeploymentGone(stored(state.convex), null);
    // Retired by a destroy that was cut off: for this stack it is gone, so that `up` applies it again.
    if (!current || current.retired) return { id: "", props: undefined };
    if (current.revision === state.revision) return { id, props: state };
    return { id, props: { ...state, config: current.config, revision: current.revision } };
  }

  async diff(
    _id: string,
    olds: RuntimeConfigState,
    news: RuntimeConfigInputs,
  ): Promise<pulumi.dynamic.DiffResult> {
    const moved = convexMoved(olds.convex, news.convex);
    const changed = canonicalJson(olds.config) !== canonicalJson(news.config) || olds.owner !== news.owner;
    return { changes: changed || moved.changed, replaces: moved.replaces };
  }

  async update(
    _id: string,
    _olds: RuntimeConfigState,
    news: RuntimeConfigInputs,
  ): Promise<pulumi.dynamic.UpdateResult<RuntimeConfigState>> {
    return { outs: await apply(news) };
  }

  /** Ends the scaler and drains the workers, so that destroying the app interrupts no turn. */
  async delete(_id: string, state: RuntimeConfigState): Promise<void> {
    await unlessDeploymentGone(drain(state), undefined);
  }
}

export interface RuntimeConfigArgs {
  convex: pulumi.Input<ConvexAccess>;
  owner: pulumi.Input<string>;
  config: pulumi.Input<Record<string, unknown>>;
  waitForRollout: pulumi.Input<boolean>;
  rolloutTimeoutSeconds: pulumi.Input<number>;
}

/** The runtime config row of the backend. */
export class RuntimeConfigRow extends pulumi.dynamic.Resource {
  declare readonly revision: pulumi.Output<number>;

  constructor(name: string, args: RuntimeConfigArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new RuntimeConfigProvider(),
      name,
      { ...args, revision: undefined },
      options,
      "agent-factory",
      "RuntimeConfig",
    );
  }
}
