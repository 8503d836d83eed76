/** An environment as the stack leaves it, with workers that the scaler has made and the test then is. */
import { createHmac } from "node:crypto";
import { ownerNetwork } from "../../runtime/convex/policy/owner.ts";
import {
  parseRuntimeConfig,
  type RuntimeConfig,
  type RuntimeConfigInput,
} from "../../runtime/convex/policy/runtimeConfig.ts";
import type { WorkerCredential } from "../../runtime/convex/validators.ts";
import { Backend, until } from "./backend.ts";
import { MachinesApi } from "./machinesApi.ts";

const OWNER = "agent-factory/races/0123456789abcdef";
const WORKER_TOKEN_KEY = Buffer.alloc(32, 7);
const WEBHOOK_SECRET = "master-secret-of-the-webhooks";
const BOT_SECRET_REF = "telegram.botToken.default";

export interface FactoryOptions {
  /** Workers that are made, and say that they are ready. */
  readonly workers: number;
  readonly config?: Omit<RuntimeConfigInput, "provider">;
  /** Folder whose convex.json names the functions; default: the repository. */
  readonly root?: string;
  /** Token of the default bot, for a Bot API that knows it. */
  readonly botToken?: string;
}

/** The token of a worker, as the scaler derives it. */
export const tokenOf = (workerId: string): string =>
  createHmac("sha256", WORKER_TOKEN_KEY).update(workerId).digest("base64url");

/** The header with which Telegram calls a bot's webhook. */
export const webhookHeader = (botSecretRef: string): string =>
  createHmac("sha256", WEBHOOK_SECRET).update(botSecretRef).digest("base64url");

export class Factory {
  readonly backend: Backend;
  readonly machines: MachinesApi;
  workers: WorkerCredential[] = [];

  private constructor(backend: Backend, machines: MachinesApi) {
    this.backend = backend;
    this.machines = machines;
  }

  static async start(options: FactoryOptions): Promise<Factory> {
    const machines = await MachinesApi.start(ownerNetwork(OWNER));
    const factory = new Factory(await Backend.start(), machines);
    try {
      await factory.#setUp(options);
      return factory;
    } catch (error) {
      await factory.close();
      throw error;
    }
  }

  async #setUp({ workers, config, root, botToken = "900:token-of-the-bot" }: FactoryOptions): Promise<void> {
    const { backend } = this;
    await backend.setEnvironment({
      SECRETS_KEY_RING: JSON.stringify({
        active: "k1",
        keys: { k1: Buffer.alloc(32, 3).toString("base64") },
      }),
      WORKER_TOKEN_KEY: WORKER_TOKEN_KEY.toString("base64"),
      FACTORY_OWNER: OWNER,
      TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: WEBHOOK_SECRET, previous: null }),
    });
    await backend.deploy(root);
    const secrets = {
      "fly.apiToken": "fly-token",
      "convex.url": backend.siteUrl,
      [BOT_SECRET_REF]: botToken,
    };
    for (const [secretRef, plaintextValue] of Object.entries(secrets)) {
      await backend.call("action", "factory:importSecret", { secretRef, plaintextValue });
    }
    await backend.call("mutation", "factory:configureAgent", {
      agentKey: "default",
      version: "1",
      soulMd: "You answer.",
      skills: [],
      secretsRef: [],
      enabled: true,
    });
    await this.#apply(workers, config);
    await until(`${workers} workers are made`, async () => {
      const rows = await backend.table("workers");
      return rows.filter((row) => row.machineId !== undefined).length === workers;
    });
    for (const { workerId } of await backend.table("workers")) {
      const credential = { workerId: workerId as string, token: tokenOf(workerId as string) };
      const report = { bootMs: 1, skills: [], removedSkills: [] };
      await backend.call("mutation", "worker:ready", { credential, report });
      this.workers.push(credential);
    }
  }

  async #apply(workers: number, config: FactoryOptions["config"]): Promise<void> {
    const parsed = parseRuntimeConfig({
      ...config,
      provider: {
        apiUrl: this.machines.url,
        appName: "af-races",
        organizationSlug: "personal",
        image: `registry.fly.io/af-races@sha256:${"0".repeat(64)}`,
        regions: ["iad"],
      },
      scaling: { minWorkers: workers, maxWorkers: workers, ...config?.scaling },
      telegram: { apiUrl: this.machines.url, ...config?.telegram },
    });
    if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
    const applied: RuntimeConfig = parsed.config;
    const stack = { expectedRevision: null, owner: OWNER, actor: "stack" };
    await this.backend.call("mutation", "factory:applyRuntimeConfig", { config: applied, ...stack });
  }

  /** A message of a person, accepted once per conversation and text. */
  async write(conversationId: string, text: string): Promise<string> {
    return (await this.backend.call("mutation", "factory:enqueue", enqueueArgs(conversationId, text))).value;
  }

  /** Delivers one Telegram update to the webhook, as Telegram does. */
  async deliverUpdate(updateId: number, chatId: number, text: string): Promise<number> {
    const header = webhookHeader(BOT_SECRET_REF);
    const person = { id: chatId, is_bot: false, first_name: "Ada" };
    const response = await fetch(`${this.backend.siteUrl}/agent-factory/telegram/webhook`, {
      method: "POST",
      headers: { "content-type": "application/json", "X-Telegram-Bot-Api-Secret-Token": header },
      body: JSON.stringify({
        update_id: updateId,
        message: {
          message_id: updateId,
          date: 1_800_000_000,
          chat: { id: chatId, type: "private" },
          from: person,
          text,
        },
      }),
    });
    await response.arrayBuffer();
    return response.status;
  }

  async close(): Promise<void> {
    await this.backend.close();
    await this.machines.close();
  }
}

export function enqueueArgs(conversationId: string, text: string): object {
  const payload = { provider: "test", providerUserId: "u1", messageText: text, externalMessageId: text };
  return { conversationId, agentKey: "default", payload };
}
