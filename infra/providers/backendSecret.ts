/** One secret ref of the backend's store, imported by the stack. The value is encrypted in state. */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { importRefused } from "./importing.ts";

interface BackendSecretInputs {
  convex: ConvexAccess;
  secretRef: string;
  value: string;
}

interface BackendSecretState extends BackendSecretInputs {
  version: number;
}

/** The backend removes 200 versions of a ref at a time. */
const REMOVAL_PAGES_MAX = 50;

async function importSecret(inputs: BackendSecretInputs): Promise<BackendSecretState> {
  const { version } = await runConvexFunction<{ version: number }>(
    inputs.convex,
    "factory:importSecret",
    { secretRef: inputs.secretRef, plaintextValue: inputs.value },
    [inputs.value],
  );
  return { ...inputs, version };
}

export class BackendSecretProvider implements pulumi.dynamic.ResourceProvider<
  BackendSecretInputs,
  BackendSecretState
> {
  async create(inputs: BackendSecretInputs): Promise<pulumi.dynamic.CreateResult<BackendSecretState>> {
    return { id: inputs.secretRef, outs: await importSecret(inputs) };
  }

  async read(id: string, state?: BackendSecretState): Promise<pulumi.dynamic.ReadResult<BackendSecretState>> {
    if (!state) throw importRefused();
    const [status] = await unlessDeploymentGone(
      runConvexFunction<Array<{ hasActive: boolean; version: number | null }>>(
        state.convex,
        "factory:secretStatus",
        { secretRefs: [state.secretRef] },
      ),
      [],
    );
    if (!status?.hasActive) return { id: "", props: undefined };
    // Values cannot be read back: another version means that somebody else imported one.
    if (status.version !== state.version) {
      return { id, props: { ...state, value: "", version: status.version ?? 0 } };
    }
    return { id, props: state };
  }

  async diff(
    _id: string,
    olds: BackendSecretState,
    news: BackendSecretInputs,
  ): Promise<pulumi.dynamic.DiffResult> {
    const moved = convexMoved(olds.convex, news.convex);
    const replaces = [...(olds.secretRef === news.secretRef ? [] : ["secretRef"]), ...moved.replaces];
    return { changes: replaces.length > 0 || moved.changed || olds.value !== news.value, replaces };
  }

  async update(
    _id: string,
    olds: BackendSecretState,
    news: BackendSecretInputs,
  ): Promise<pulumi.dynamic.UpdateResult<BackendSecretState>> {
    // Only the way to the deployment changed: a new version of the same value would set every webhook again.
    if (olds.value === news.value) return { outs: { ...olds, ...news } };
    return { outs: await importSecret(news) };
  }

  async delete(_id: string, state: BackendSecretState): Promise<void> {
    for (let page = 0; page < REMOVAL_PAGES_MAX; page++) {
      const { more } = await unlessDeploymentGone(
        runConvexFunction<{ more: boolean }>(state.convex, "factory:removeSecret", {
          secretRef: state.secretRef,
        }),
        { more: false },
      );
      if (!more) return;
    }
    throw new Error(`Secret '${state.secretRef}' has versions left. Run \`pulumi destroy\` again.`);
  }
}

export interface BackendSecretArgs {
  convex: pulumi.Input<ConvexAccess>;
  secretRef: pulumi.Input<string>;
  value: pulumi.Input<string>;
}

/** A secret in the backend's store. */
export class BackendSecret extends pulumi.dynamic.Resource {
  declare readonly version: pulumi.Output<number>;

  constructor(name: string, args: BackendSecretArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new BackendSecretProvider(),
      name,
      { ...args, version: undefined },
      pulumi.mergeOptions(options, { additionalSecretOutputs: ["value"] }),
      "agent-factory",
      "BackendSecret",
    );
  }
}
