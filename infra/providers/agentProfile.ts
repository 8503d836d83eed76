/** An agent profile that the stack owns. Profiles made through the backend by others are left alone. */
import * as pulumi from "@pulumi/pulumi";
import { canonicalJson } from "../platform/canonicalJson.ts";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { importRefused } from "./importing.ts";

/** Arguments of `factory:configureAgent` (spec D). */
export interface AgentProfileSpec {
  agentKey: string;
  version: string;
  soulMd: string;
  clientMd?: string;
  skills: string[];
  secretsRef: string[];
  bridgeConfig?: Record<string, unknown>;
  bridgeFunctions?: Array<{ key: string; description: string; parametersJson: string }>;
  toolPolicy?: { allow: string[] };
  enabled: boolean;
}

interface AgentProfileInputs {
  convex: ConvexAccess;
  profile: AgentProfileSpec;
}

interface AgentProfileState extends AgentProfileInputs {
  /** The backend's count of changes of this profile: another number is somebody else's change. */
  revision: number;
}

interface ListedAgent {
  agentKey: string;
  version: string;
  revision: number;
  enabled: boolean;
}

async function find(convex: ConvexAccess, agentKey: string): Promise<ListedAgent | undefined> {
  const agents = await runConvexFunction<ListedAgent[]>(convex, "factory:listAgents", {});
  return agents.find((agent) => agent.agentKey === agentKey);
}

async function configure(inputs: AgentProfileInputs): Promise<AgentProfileState> {
  await runConvexFunction(inputs.convex, "factory:configureAgent", { ...inputs.profile, actor: "pulumi" });
  const found = await find(inputs.convex, inputs.profile.agentKey);
  return { ...inputs, revision: found?.revision ?? 0 };
}

export class AgentProfileProvider implements pulumi.dynamic.ResourceProvider<
  AgentProfileInputs,
  AgentProfileState
> {
  async create(inputs: AgentProfileInputs): Promise<pulumi.dynamic.CreateResult<AgentProfileState>> {
    return { id: inputs.profile.agentKey, outs: await configure(inputs) };
  }

  async read(id: string, state?: AgentProfileState): Promise<pulumi.dynamic.ReadResult<AgentProfileState>> {
    if (!state) throw importRefused();
    const found = await unlessDeploymentGone(find(state.convex, state.profile.agentKey), undefined);
    if (!found) return { id: "", props: undefined };
    if (found.revision === state.revision) return { id, props: state };
    // Texts are not read back: an empty one stands for "changed elsewhere", and the next `up` writes it again.
    const profile = { ...state.profile, version: found.version, enabled: found.enabled, soulMd: "" };
    return { id, props: { ...state, profile, revision: found.revision } };
  }

  async diff(
    _id: string,
    olds: AgentProfileState,
    news: AgentProfileInputs,
  ): Promise<pulumi.dynamic.DiffResult> {
    const moved = convexMoved(olds.convex, news.convex);
    const replaces = [
      ...(olds.profile.agentKey === news.profile.agentKey ? [] : ["profile"]),
      ...moved.replaces,
    ];
    const changed = canonicalJson(olds.profile) !== canonicalJson(news.profile);
    return { changes: replaces.length > 0 || moved.changed || changed, replaces };
  }

  async update(
    _id: string,
    _olds: AgentProfileState,
    news: AgentProfileInputs,
  ): Promise<pulumi.dynamic.UpdateResult<AgentProfileState>> {
    return { outs: await configure(news) };
  }

  /** Conversations keep their history: the profile is disabled, not forgotten. */
  async delete(_id: string, state: AgentProfileState): Promise<void> {
    await unlessDeploymentGone(disable(state), undefined);
  }
}

async function disable({ convex, profile }: AgentProfileState): Promise<void> {
  const found = await find(convex, profile.agentKey);
  if (!found?.enabled) return;
  await runConvexFunction(convex, "factory:setAgentEnabled", {
    agentKey: profile.agentKey,
    enabled: false,
    actor: "pulumi",
  });
}

export interface AgentProfileArgs {
  convex: pulumi.Input<ConvexAccess>;
  profile: pulumi.Input<AgentProfileSpec>;
}

/** An agent profile in the backend. */
export class AgentProfile extends pulumi.dynamic.Resource {
  constructor(name: string, args: AgentProfileArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new AgentProfileProvider(),
      name,
      { ...args, revision: undefined },
      options,
      "agent-factory",
      "AgentProfile",
    );
  }
}
