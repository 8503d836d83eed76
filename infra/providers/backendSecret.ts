/** One secret ref of the backend's store, imported by the stack. The value is encrypted in state. */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { importRefused } from "./importing.ts";

interface BackendSecretInputs {
  convex: ConvexAccess;
  secretRef: string;
  value: string;
}

interface BackendSecretState extends BackendSecretInputs {
  version: number;
}

async function importSecret(inputs: BackendSecretInputs): Promise<BackendSecretState> {
  const { version } = await runConvexFunction<{ version: number }>(inputs.convex, "factory:importSecret", {
    secretRef: inputs.secretRef,
    plaintextValue: inputs.value,
  });
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
    const [status] = await runConvexFunction<Array<{ hasActive: boolean; version: number | null }>>(
      state.convex,
      "factory:secretStatus",
      { secretRefs: [state.secretRef] },
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
    const replaces = [
      ...(olds.secretRef === news.secretRef ? [] : ["secretRef"]),
      ...(olds.convex.url === news.convex.url ? [] : ["convex"]),
    ];
    return { changes: replaces.length > 0 || olds.value !== news.value, replaces };
  }

  async update(
    _id: string,
    _olds: BackendSecretState,
    news: BackendSecretInputs,
  ): Promise<pulumi.dynamic.UpdateResult<BackendSecretState>> {
    return { outs: await importSecret(news) };
  }

  async delete(_id: string, state: BackendSecretState): Promise<void> {
    await runConvexFunction(state.convex, "factory:removeSecret", { secretRef: state.secretRef });
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
