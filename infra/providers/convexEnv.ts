/**
 * The deployment's environment variables that the stack owns; others are left alone. FACTORY_OWNER doubles as
 * the claim on the deployment: a second stack that points at it is refused.
 */
import * as pulumi from "@pulumi/pulumi";
import {
  type ConvexAccess,
  listEnvironmentVariables,
  updateEnvironmentVariables,
} from "../platform/convexApi.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { OWNER_VARIABLE, requireOwnDeployment } from "./deploymentOwner.ts";
import { importRefused } from "./importing.ts";

interface ConvexEnvInputs {
  convex: ConvexAccess;
  owner: string;
  variables: Record<string, string>;
}

async function write(inputs: ConvexEnvInputs, olds: Record<string, string>): Promise<void> {
  const current = await listEnvironmentVariables(inputs.convex);
  requireOwnDeployment(current, inputs.convex.url, inputs.owner);
  const wanted: Record<string, string> = { ...inputs.variables, [OWNER_VARIABLE]: inputs.owner };
  const changes: Array<{ name: string; value: string | null }> = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (current[name] !== value) changes.push({ name, value });
  }
  for (const name of Object.keys(olds)) {
    if (!(name in wanted) && name in current) changes.push({ name, value: null });
  }
  await updateEnvironmentVariables(inputs.convex, changes);
}

export class ConvexEnvProvider implements pulumi.dynamic.ResourceProvider<ConvexEnvInputs, ConvexEnvInputs> {
  async create(inputs: ConvexEnvInputs): Promise<pulumi.dynamic.CreateResult<ConvexEnvInputs>> {
    await write(inputs, {});
    return { id: inputs.owner, outs: inputs };
  }

  async read(id: string, state?: ConvexEnvInputs): Promise<pulumi.dynamic.ReadResult<ConvexEnvInputs>> {
    if (!state) throw importRefused();
    const current = await unlessDeploymentGone<Record<string, string>>(
      listEnvironmentVariables(state.convex),
      {},
    );
    if (current[OWNER_VARIABLE] === undefined) return { id: "", props: undefined };
    const variables: Record<string, string> = {};
    for (const name of Object.keys(state.variables)) {
      const value = current[name];
      if (value !== undefined) variables[name] = value;
    }
    return { id, props: { ...state, owner: current[OWNER_VARIABLE], variables } };
  }

  async diff(_id: string, olds: ConvexEnvInputs, news: ConvexEnvInputs): Promise<pulumi.dynamic.DiffResult> {
    const names = new Set([...Object.keys(olds.variables), ...Object.keys(news.variables)]);
    const changed = [...names].some((name) => olds.variables[name] !== news.variables[name]);
    const moved = convexMoved(olds.convex, news.convex);
    return { changes: changed || olds.owner !== news.owner || moved.changed, replaces: moved.replaces };
  }

  async update(
    _id: string,
    olds: ConvexEnvInputs,
    news: ConvexEnvInputs,
  ): Promise<pulumi.dynamic.UpdateResult<ConvexEnvInputs>> {
    await write(news, olds.variables);
    return { outs: news };
  }

  async delete(_id: string, state: ConvexEnvInputs): Promise<void> {
    const current = await unlessDeploymentGone<Record<string, string>>(
      listEnvironmentVariables(state.convex),
      {},
    );
    requireOwnDeployment(current, state.convex.url, state.owner);
    const names = [...Object.keys(state.variables), OWNER_VARIABLE].filter((name) => name in current);
    await updateEnvironmentVariables(
      state.convex,
      names.map((name) => ({ name, value: null })),
    );
  }
}

export interface ConvexEnvArgs {
  convex: pulumi.Input<ConvexAccess>;
  owner: pulumi.Input<string>;
  variables: pulumi.Input<Record<string, pulumi.Input<string>>>;
}

/** Environment variables of a Convex deployment, and the stack's claim on it. */
export class ConvexEnv extends pulumi.dynamic.Resource {
  constructor(name: string, args: ConvexEnvArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new ConvexEnvProvider(),
      name,
      { ...args },
      pulumi.mergeOptions(options, { additionalSecretOutputs: ["variables"] }),
      "agent-factory",
      "ConvexEnv",
    );
  }
}
