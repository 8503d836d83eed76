/** An agent profile that the stack owns. Profiles made through the backend by others are left alone. */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";

/** Arguments of `factory:configureAgent` (spec D). */
export interface AgentProfileSpec {
  agentKey: string;
  version: string;
  soulMd: string;
  clientMd?: string;
  skills: string[];
  secretsRef: string[];
  bridgeConfig?: Record<string, unknown>;
  enabled: boolean;
}

interface AgentProfileInputs {
  convex: ConvexAccess;
  profile: AgentProfileSpec;
}

export class AgentProfileProvider implements pulumi.dynamic.ResourceProvider<
  AgentProfileInputs,
  AgentProfileInputs
> {
  async create(inputs: AgentProfileInputs): Promise<pulumi.dynamic.CreateResult<AgentProfileInputs>> {
    await runConvexFunction(inputs.convex, "factory:configureAgent", { ...inputs.profile });
    return { id: inputs.profile.agentKey, outs: inputs };
  }

  async diff(
    _id: string,
    olds: AgentProfileInputs,
    news: AgentProfileInputs,
  ): Promise<pulumi.dynamic.DiffResult> {
    const replaces = [
      ...(olds.profile.agentKey === news.profile.agentKey ? [] : ["profile"]),
      ...(olds.convex.url === news.convex.url ? [] : ["convex"]),
    ];
    const keys = [...new Set([...Object.keys(olds.profile), ...Object.keys(news.profile)])].sort();
    const changed = JSON.stringify(olds.profile, keys) !== JSON.stringify(news.profile, keys);
    return { changes: replaces.length > 0 || changed, replaces };
  }

  async update(
    _id: string,
    _olds: AgentProfileInputs,
    news: AgentProfileInputs,
  ): Promise<pulumi.dynamic.UpdateResult<AgentProfileInputs>> {
    await runConvexFunction(news.convex, "factory:configureAgent", { ...news.profile });
    return { outs: news };
  }

  /** Conversations keep their history: the profile is disabled, not forgotten. */
  async delete(_id: string, state: AgentProfileInputs): Promise<void> {
    await runConvexFunction(state.convex, "factory:configureAgent", { ...state.profile, enabled: false });
  }
}

export interface AgentProfileArgs {
  convex: pulumi.Input<ConvexAccess>;
  profile: pulumi.Input<AgentProfileSpec>;
}

/** An agent profile in the backend. */
export class AgentProfile extends pulumi.dynamic.Resource {
  constructor(name: string, args: AgentProfileArgs, options?: pulumi.CustomResourceOptions) {
    super(new AgentProfileProvider(), name, { ...args }, options, "agent-factory", "AgentProfile");
  }
}
