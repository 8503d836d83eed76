/** All planes of an environment for provider tests: Fly, the real backend, Telegram, each behind one fault relay. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { startTelegram } from "../../local/telegram/server.ts";
import { Backend } from "../../tests/deployment/backend.ts";
import { parseRuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import type { FlyAppInputs } from "../providers/flyApp.ts";
import { FaultRelay } from "./faultRelay.ts";

export const OWNER = "agent-factory/staging/0123456789abcdef";
export const BOT_TOKEN = "900:AAcanary-of-the-bot-token-0123456789";
export const APP = "af-staging-01234567";

/** What ConvexEnv sets; without it the backend stores no secret and knows no webhook's secret. */
export const VARIABLES = {
  SECRETS_KEY_RING: JSON.stringify({ active: "k1", keys: { k1: Buffer.alloc(32, 3).toString("base64") } }),
  WORKER_TOKEN_KEY: Buffer.alloc(32, 7).toString("base64"),
  TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: "canary-of-the-webhook-secret", previous: null }),
};

const NETWORK = "af-0123456789abcdef";

/** What a provider's call left in the state. */
export function state<T>(result: { outs?: T; props?: T }): T {
  const found = result.outs ?? result.props;
  if (!found) throw new Error("the provider returned no state");
  return found;
}

export class Planes {
  readonly fly: Fly;
  readonly backend: Backend;
  readonly telegramUrl: string;
  readonly relay: FaultRelay;
  readonly access: ConvexAccess;
  readonly graphqlUrl: string;
  readonly #close: () => Promise<void>;

  private constructor(
    parts: Pick<Planes, "fly" | "backend" | "telegramUrl" | "relay">,
    close: () => Promise<void>,
  ) {
    this.fly = parts.fly;
    this.backend = parts.backend;
    this.telegramUrl = parts.telegramUrl;
    this.relay = parts.relay;
    this.#close = close;
    this.access = { mode: "selfHosted", url: parts.relay.front(parts.backend.url) };
    this.graphqlUrl = `${parts.relay.front(parts.fly.url)}/graphql`;
  }

  /** Starts all, deploys the backend and makes one app; credentials go to the environment, as people export them. */
  static async start(): Promise<Planes> {
    const folder = await mkdtemp(join(tmpdir(), "infra-planes-"));
    const fly = await startFly({ stateDir: join(folder, "fly"), rateLimit: false });
    const telegram = await startTelegram({
      state: join(folder, "telegram"),
      bots: [{ token: BOT_TOKEN, username: "canary_bot" }],
      log: () => undefined,
    });
    const backend = await Backend.start();
    const relay = await FaultRelay.start();
    const close = async (): Promise<void> => {
      delete process.env["FLY_API_TOKEN"];
      delete process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"];
      await relay.close();
      await Promise.all([backend.close(), telegram.close(), fly.close()]);
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
    };
    try {
      const planes = new Planes({ fly, backend, telegramUrl: telegram.url, relay }, close);
      process.env["FLY_API_TOKEN"] = fly.orgToken;
      process.env["CONVEX_SELF_HOSTED_ADMIN_KEY"] = backend.adminKey;
      await backend.setEnvironment({ ...VARIABLES, FACTORY_OWNER: OWNER });
      await backend.deploy();
      await planes.makeApp(APP);
      return planes;
    } catch (error) {
      await close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#close();
  }

  /** Inputs of an app of this stack, past the relay. */
  app(name: string): FlyAppInputs {
    return {
      apiUrl: this.fly.url,
      name,
      organization: "personal",
      network: NETWORK,
      adoptUnowned: false,
      convex: this.access,
    };
  }

  async makeApp(name: string): Promise<void> {
    const answer = await fetch(`${this.fly.url}/v1/apps`, {
      method: "POST",
      headers: { authorization: this.fly.orgToken, "content-type": "application/json" },
      body: JSON.stringify({ name, org_slug: "personal", network: NETWORK }),
    });
    if (answer.status !== 201) throw new Error(`the app was not made: ${answer.status}`);
  }

  /** A function's value, past the relay. */
  // oxlint-disable-next-line no-explicit-any -- tests know what each function returns
  async run(kind: "query" | "mutation" | "action", path: string, args: object = {}): Promise<any> {
    return (await this.backend.call(kind, path, args)).value;
  }

  /** Names of the app's scoped tokens that Fly knows. */
  async tokens(app = APP): Promise<Array<{ id: string; name: string }>> {
    const query =
      "query T($name: String!) { app(name: $name) { limitedAccessTokens { nodes { id name } } } }";
    const answer = await fetch(`${this.fly.url}/graphql`, {
      method: "POST",
      headers: { authorization: this.fly.orgToken, "content-type": "application/json" },
      body: JSON.stringify({ query, variables: { name: app } }),
    });
    const { data } = (await answer.json()) as {
      data: { app: { limitedAccessTokens: { nodes: Array<{ id: string; name: string }> } } };
    };
    return data.app.limitedAccessTokens.nodes;
  }

  /** What the bot's webhook points at, as Telegram tells it. */
  async webhookUrl(): Promise<string> {
    const answer = await fetch(`${this.telegramUrl}/bot${BOT_TOKEN}/getWebhookInfo`);
    return ((await answer.json()) as { result: { url: string } }).result.url;
  }

  /** A runtime config without workers, whose scaler finds nothing to do. */
  runtimeConfig(overrides: Record<string, unknown> = {}): Record<string, unknown> {
    const parsed = parseRuntimeConfig({
      provider: {
        apiUrl: this.fly.url,
        appName: APP,
        organizationSlug: "personal",
        image: `registry.fly.io/${APP}@sha256:${"0".repeat(64)}`,
        regions: ["iad"],
      },
      scaling: { minWorkers: 0, maxWorkers: 1 },
      telegram: { apiUrl: this.telegramUrl },
      ...overrides,
    });
    if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
    return parsed.config;
  }
}
