/** What stands on the planes for one world, in a form that is equal for equal environments. */
import * as z from "zod";
import type { World } from "./world.ts";

export interface Inventory {
  apps: Array<{ name: string; network: string }>;
  flySecrets: string[];
  tokens: string[];
  machines: number;
  volumes: number;
  image: string;
  variables: string[];
  backendSecrets: Record<string, boolean>;
  agents: Array<{ agentKey: string; version: string; enabled: boolean }>;
  config: unknown;
  rollout: string;
  webhook: string;
  /** Resources of the stack's state, and what an interrupted run left undecided in it. */
  resources: string[];
  pending: string[];
}

const SECRET_REFS = ["convex.url", "fly.apiToken", "telegram.botToken.default"];
const stateSchema = z.object({
  deployment: z.object({
    resources: z.array(z.object({ urn: z.string() })).default([]),
    pending_operations: z
      .array(z.object({ type: z.string(), resource: z.object({ urn: z.string() }) }))
      .default([]),
  }),
});

export async function inventoryOf(world: World): Promise<Inventory> {
  const { cloud, stack } = world.environment;
  const outputs = await stack.outputs();
  const app = String(outputs["flyAppName"]);
  const owner = String(outputs["owner"]);
  const ownerId = owner.split("/").at(-1) ?? "";
  /** Each stack has an owner id of its own: equal environments differ in nothing else. */
  const general = <T>(value: T): T =>
    JSON.parse(
      JSON.stringify(value).replaceAll(ownerId, "<owner>").replaceAll(ownerId.slice(0, 8), "<own>"),
    ) as T;
  const { apps } = (await world.fly("GET", "/v1/apps?org_slug=personal")) as {
    apps: Array<{ name: string; network: string }>;
  };
  const { secrets } = (await world.fly("GET", `/v1/apps/${app}/secrets`)) as {
    secrets: Array<{ name: string }>;
  };
  const machines = (await world.fly("GET", `/v1/apps/${app}/machines`)) as unknown[];
  const volumes = (await world.fly("GET", `/v1/apps/${app}/volumes`)) as unknown[];
  const config = await world.backend.run<{ config: { provider: Record<string, unknown> } }>(
    "factory:runtimeConfig",
  );
  const rollout = await world.backend.run<{ phase: string }>("factory:rolloutStatus", {
    revision: outputs["runtimeConfigRevision"],
  });
  const active = await world.backend.run<Array<{ secretRef: string; hasActive: boolean }>>(
    "factory:secretStatus",
    { secretRefs: SECRET_REFS },
  );
  const agents = await world.backend.run<Inventory["agents"]>("factory:listAgents");
  const exported = await stack.run(["stack", "export", "--stack", stack.name]);
  const { deployment } = stateSchema.parse(JSON.parse(exported.output.slice(exported.output.indexOf("{"))));
  return general({
    apps: apps.map(({ name, network }) => ({ name, network })),
    flySecrets: secrets.map(({ name }) => name).sort(),
    tokens: (await world.tokensOf(app)).map(({ name }) => name),
    machines: machines.length,
    volumes: volumes.length,
    image: String(outputs["workerImage"]),
    variables: await world.variables(),
    backendSecrets: Object.fromEntries(active.map(({ secretRef, hasActive }) => [secretRef, hasActive])),
    agents: agents.map(({ agentKey, version, enabled }) => ({ agentKey, version, enabled })),
    // Counts the writes of the app's secrets, which a repeated call may raise.
    config: { ...config.config, provider: { ...config.config.provider, minSecretsVersion: "any" } },
    rollout: rollout.phase,
    webhook: (await world.phone.webhookUrl()).replace(cloud.convex.siteUrl, "<site>"),
    resources: deployment.resources.map(({ urn }) => urn).sort(),
    pending: deployment.pending_operations.map(({ type, resource }) => `${type} ${resource.urn}`),
  });
}

/** What is left on the planes after a destroy, described; empty when nothing is. */
export async function leftovers(world: World): Promise<string[]> {
  const { apps } = (await world.fly("GET", "/v1/apps?org_slug=personal")) as {
    apps: Array<{ name: string }>;
  };
  const active = await world.backend.run<Array<{ secretRef: string; hasActive: boolean }>>(
    "factory:secretStatus",
    { secretRefs: SECRET_REFS },
  );
  const agents = await world.backend.run<Array<{ agentKey: string; enabled: boolean }>>("factory:listAgents");
  const webhook = await world.phone.webhookUrl();
  const exported = await world.environment.stack.run([
    "stack",
    "export",
    "--stack",
    world.environment.stack.name,
  ]);
  const { deployment } = stateSchema.parse(JSON.parse(exported.output.slice(exported.output.indexOf("{"))));
  return [
    ...apps.map(({ name }) => `app ${name}`),
    ...(await world.variables()).map((name) => `variable ${name}`),
    ...active.filter(({ hasActive }) => hasActive).map(({ secretRef }) => `secret ${secretRef}`),
    ...agents.filter(({ enabled }) => enabled).map(({ agentKey }) => `agent ${agentKey}`),
    ...(webhook === "" ? [] : [`webhook ${webhook}`]),
    ...world.machineProcesses().map((line) => `process ${line}`),
    ...deployment.resources.map(({ urn }) => `state ${urn}`),
  ];
}
