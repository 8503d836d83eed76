/** The Convex plane: the deployment's environment, its functions, its secret store and its agent profiles. */
import * as fs from "node:fs";
import * as path from "node:path";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { type BridgeFunction, parseBridgeFunctions } from "../bridgeFunctions.ts";
import type { StackConfig, StackSecrets } from "../config.ts";
import { botTokenRef } from "../naming.ts";
import { contentHash } from "../platform/contentHash.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import { convexSiteUrl } from "../platform/urls.ts";
import { AgentProfile, type AgentProfileSpec } from "../providers/agentProfile.ts";
import { BackendSecret } from "../providers/backendSecret.ts";
import { ConvexDeployment } from "../providers/convexDeployment.ts";
import { ConvexEnv } from "../providers/convexEnv.ts";

export interface ConvexBackendArgs {
  root: string;
  config: StackConfig;
  secrets: StackSecrets;
  owner: pulumi.Input<string>;
  stack: string;
}

/** Whether a file of runtime/convex is deployed: tests are not. */
function isDeployed(file: string): boolean {
  return !/\.test\.ts$|\/_generated\/|\/testing\//.test(file);
}

export class ConvexBackend extends pulumi.ComponentResource {
  readonly access: pulumi.Output<ConvexAccess>;
  readonly siteUrl: pulumi.Output<string>;
  /** Exists once the functions are deployed and the key ring is set: what secrets and config wait for. */
  readonly ready: pulumi.Resource[];
  /** All of it, secrets and agent profiles included: what a message needs, so what webhooks and scaler wait for. */
  readonly complete: pulumi.Resource[];
  /** Bot tokens by agent key, imported. */
  readonly botSecrets: Map<string, BackendSecret>;
  /** Changes with the webhook's master secret. */
  readonly webhookSecretId: string;

  constructor(name: string, args: ConvexBackendArgs, options?: pulumi.ComponentResourceOptions) {
    super("agent-factory:index:ConvexBackend", name, {}, options);
    const { config } = args;
    const parent = { parent: this };
    const place = this.locate(name, args);
    this.access = place.access;
    this.siteUrl = place.siteUrl;

    const keyRing = config.keys.secretKeyIds.map((id) => ({
      id,
      bytes: new random.RandomBytes(`${name}-key-${id}`, { length: 32 }, parent),
    }));
    const workerTokenKey = new random.RandomBytes(`${name}-worker-token-key`, { length: 32 }, parent);
    const webhookSecrets = config.keys.webhookSecretIds.map(
      (id) => new random.RandomPassword(`${name}-webhook-${id}`, { length: 48, special: false }, parent),
    );
    const activeKey = config.keys.secretKeyIds.at(-1);
    this.webhookSecretId = config.keys.webhookSecretIds.join(",");

    const env = new ConvexEnv(
      `${name}-env`,
      {
        convex: this.access,
        owner: args.owner,
        variables: pulumi.secret({
          SECRETS_KEY_RING: pulumi.all(keyRing.map((key) => key.bytes.base64)).apply((values) =>
            JSON.stringify({
              active: activeKey,
              keys: Object.fromEntries(keyRing.map((key, index) => [key.id, values[index]])),
            }),
          ),
          WORKER_TOKEN_KEY: workerTokenKey.base64,
          TELEGRAM_WEBHOOK_SECRETS: pulumi
            .all(webhookSecrets.map((secret) => secret.result))
            .apply((values) => JSON.stringify({ current: values.at(-1), previous: values.at(-2) ?? null })),
        }),
      },
      parent,
    );

    const functions = new command.local.Command(
      `${name}-functions`,
      {
        create: `"${nodePath(args.root)}" --disable-warning=MODULE_TYPELESS_PACKAGE_JSON infra/backend/deploy.ts`,
        dir: args.root,
        environment: { CONVEX_ACCESS: this.access.apply((access) => JSON.stringify(access)) },
        triggers: [
          contentHash(args.root, ["runtime/convex", "convex.json"], isDeployed),
          this.access.apply((access) => access.url),
        ],
        logging: "stderr",
      },
      { ...parent, dependsOn: [env], deleteBeforeReplace: true },
    );
    this.ready = [env, functions];

    const after = { ...parent, dependsOn: this.ready };
    const siteSecret = new BackendSecret(
      `${name}-secret-convex-url`,
      { convex: this.access, secretRef: "convex.url", value: this.siteUrl },
      after,
    );
    this.botSecrets = new Map(
      args.secrets.telegramAgentKeys.map((agentKey) => [
        agentKey,
        new BackendSecret(
          `${name}-secret-bot-${agentKey}`,
          {
            convex: this.access,
            secretRef: botTokenRef(agentKey),
            value: args.secrets.telegramBotTokens.apply((tokens) => tokens[agentKey] ?? ""),
          },
          after,
        ),
      ]),
    );
    const stored = [...this.ready, siteSecret, ...this.botSecrets.values()];
    const agents = config.agents.map(
      (agent) =>
        new AgentProfile(
          `${name}-agent-${agent.agentKey}`,
          { convex: this.access, profile: profileOf(args.root, agent, this.botSecrets.has(agent.agentKey)) },
          { ...parent, dependsOn: stored },
        ),
    );
    this.complete = [...stored, ...agents];
    this.registerOutputs({ siteUrl: this.siteUrl });
  }

  /** Where the deployment is, in each of the three modes. */
  private locate(
    name: string,
    args: ConvexBackendArgs,
  ): { access: pulumi.Output<ConvexAccess>; siteUrl: pulumi.Output<string> } {
    const convex = args.config.convex;
    switch (convex.mode) {
      case "existing":
        return {
          access: pulumi.output({ mode: "existing" as const, url: convex.url }),
          siteUrl: pulumi.output(convex.siteUrl ?? convexSiteUrl(convex.url)),
        };
      case "selfHosted":
        return {
          access: pulumi.output({ mode: "selfHosted" as const, url: convex.url }),
          siteUrl: pulumi.output(convex.siteUrl),
        };
      case "provisioned": {
        const deployment = new ConvexDeployment(
          `${name}-deployment`,
          {
            managementUrl: convex.managementUrl,
            projectName: convex.projectName,
            reference: convex.reference ?? args.stack,
            type: convex.type,
            region: convex.region ?? null,
            owner: args.owner,
          },
          { parent: this, protect: args.config.protect },
        );
        return {
          access: pulumi.all([deployment.deploymentName, deployment.url]).apply(([deploymentName, url]) => ({
            mode: "provisioned" as const,
            url,
            managementUrl: convex.managementUrl,
            deploymentName,
          })),
          siteUrl: deployment.url.apply((url) => convex.siteUrl ?? convexSiteUrl(url)),
        };
      }
    }
  }
}

/** The project's own Node: `pulumi` may have been started with another one on PATH. */
export function nodePath(root: string): string {
  return path.join(root, "node_modules", ".bin", "node");
}

/** @throws Error that names the agent; the config's loading has reported it before, with everything else. */
function functionsOf(agent: StackConfig["agents"][number], text: string): BridgeFunction[] {
  const parsed = parseBridgeFunctions(text);
  if (parsed.ok) return parsed.functions;
  throw new Error(
    `agent-factory:agents (${agent.agentKey}).bridgeFunctionsFile: ${parsed.problems.join("; ")}`,
  );
}

/** @throws Error that names the config key when a profile's file cannot be read. */
function profileOf(root: string, agent: StackConfig["agents"][number], hasBot: boolean): AgentProfileSpec {
  const read = (key: string, file: string): string => {
    const full = path.resolve(root, file);
    if (!fs.existsSync(full)) {
      throw new Error(
        `agent-factory:agents (${agent.agentKey}).${key}: there is no file ${file} in the project`,
      );
    }
    return fs.readFileSync(full, "utf8");
  };
  return {
    agentKey: agent.agentKey,
    version: agent.version,
    soulMd: read("soulFile", agent.soulFile),
    ...(agent.clientFile ? { clientMd: read("clientFile", agent.clientFile) } : {}),
    skills: agent.skills,
    secretsRef: hasBot ? [botTokenRef(agent.agentKey)] : [],
    ...(agent.bridge ? { bridgeConfig: agent.bridge } : {}),
    ...(agent.bridgeFunctionsFile
      ? { bridgeFunctions: functionsOf(agent, read("bridgeFunctionsFile", agent.bridgeFunctionsFile)) }
      : {}),
    ...(agent.allowTools.length > 0 ? { toolPolicy: { allow: agent.allowTools } } : {}),
    enabled: agent.enabled,
  };
}
