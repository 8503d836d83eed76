/** The app's secrets, as one resource: set, changed and removed in one call that yields one version. */
import * as pulumi from "@pulumi/pulumi";
import { canonicalJson } from "../platform/canonicalJson.ts";
import { flyError, flyRest } from "../platform/flyApi.ts";
import { importRefused } from "./importing.ts";

export interface FlySecretsInputs {
  apiUrl: string;
  appName: string;
  values: Record<string, string>;
}

export interface FlySecretsState extends FlySecretsInputs {
  /** Version of the last write: machines are created only once they can see it. */
  version: number;
  /** Fly's digest of each of our secrets, to notice a change made elsewhere. */
  digests: Record<string, string>;
}

interface SecretsAnswer {
  secrets?: Array<{ name: string; digest: string }>;
  version?: number;
  Version?: number;
}

/** @param values the changes: a value sets, null removes. */
async function write(
  inputs: FlySecretsInputs,
  values: Record<string, string | null>,
): Promise<{ version: number; digests: Record<string, string> }> {
  // Nothing to say: a version of 0 asks nothing of the machines.
  if (Object.keys(values).length === 0) return { version: 0, digests: {} };
  const path = `/apps/${inputs.appName}/secrets`;
  const answer = await flyRest(inputs.apiUrl, "POST", path, {
    json: { values },
    secrets: Object.values(values).filter((value) => value !== null),
  });
  if (answer.status >= 300) throw flyError("POST", path, answer);
  const body = answer.body as SecretsAnswer;
  return {
    version: body.version ?? body.Version ?? 0,
    digests: await digestsOf(inputs.apiUrl, inputs.appName, Object.keys(inputs.values)),
  };
}

async function digestsOf(apiUrl: string, appName: string, names: string[]): Promise<Record<string, string>> {
  const path = `/apps/${appName}/secrets`;
  const answer = await flyRest(apiUrl, "GET", path);
  if (answer.status === 404) return {};
  if (answer.status !== 200) throw flyError("GET", path, answer);
  const listed = (answer.body as SecretsAnswer).secrets ?? [];
  return Object.fromEntries(
    listed.filter((secret) => names.includes(secret.name)).map((secret) => [secret.name, secret.digest]),
  );
}

export class FlySecretsProvider implements pulumi.dynamic.ResourceProvider<
  FlySecretsInputs,
  FlySecretsState
> {
  async create(inputs: FlySecretsInputs): Promise<pulumi.dynamic.CreateResult<FlySecretsState>> {
    const written = await write(inputs, inputs.values);
    return { id: inputs.appName, outs: { ...inputs, ...written } };
  }

  async read(id: string, state?: FlySecretsState): Promise<pulumi.dynamic.ReadResult<FlySecretsState>> {
    if (!state) throw importRefused();
    const digests = await digestsOf(state.apiUrl, state.appName, Object.keys(state.values));
    // A secret that vanished is dropped from the state, one that changed elsewhere is emptied: `up` writes both
    // again, and still knows the name of the second should the config drop it meanwhile.
    const kept = Object.fromEntries(
      Object.entries(state.values)
        .filter(([name]) => name in digests)
        .map(([name, value]) => [name, digests[name] === state.digests[name] ? value : ""]),
    );
    return { id, props: { ...state, values: kept, digests } };
  }

  async diff(_id: string, olds: FlySecretsState, news: FlySecretsInputs): Promise<pulumi.dynamic.DiffResult> {
    const replaces = olds.appName === news.appName ? [] : ["appName"];
    const changed = canonicalJson(olds.values) !== canonicalJson(news.values) || olds.apiUrl !== news.apiUrl;
    return { changes: replaces.length > 0 || changed, replaces };
  }

  async update(
    _id: string,
    olds: FlySecretsState,
    news: FlySecretsInputs,
  ): Promise<pulumi.dynamic.UpdateResult<FlySecretsState>> {
    const removed = Object.fromEntries(
      Object.keys(olds.values)
        .filter((name) => !(name in news.values))
        .map((name) => [name, null]),
    );
    const written = await write(news, { ...news.values, ...removed });
    return { outs: { ...news, ...written } };
  }

  async delete(_id: string, state: FlySecretsState): Promise<void> {
    const path = `/apps/${state.appName}/secrets`;
    const values = Object.fromEntries(Object.keys(state.values).map((name) => [name, null]));
    if (Object.keys(values).length === 0) return;
    const answer = await flyRest(state.apiUrl, "POST", path, { json: { values } });
    if (answer.status >= 300 && answer.status !== 404) throw flyError("POST", path, answer);
  }
}

export interface FlySecretsArgs {
  apiUrl: pulumi.Input<string>;
  appName: pulumi.Input<string>;
  values: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

/** Secrets of a Fly app; others on the same app are left alone. */
export class FlySecrets extends pulumi.dynamic.Resource {
  declare readonly version: pulumi.Output<number>;

  constructor(name: string, args: FlySecretsArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new FlySecretsProvider(),
      name,
      { ...args, version: undefined, digests: undefined },
      pulumi.mergeOptions(options, { additionalSecretOutputs: ["values"] }),
      "agent-factory",
      "FlySecrets",
    );
  }
}
