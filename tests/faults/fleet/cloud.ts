/**
 * An environment as the stack leaves it, on the embedded cloud: a backend that can be killed, machines that are
 * processes of the real worker (without a gateway, see image/), and a bot that people write to.
 */
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Harness, startHarness } from "../../../local/fly/testing/harness.ts";
import { startTelegram } from "../../../local/telegram/server.ts";
import { ownerNetwork } from "../../../runtime/convex/policy/owner.ts";
import {
  parseRuntimeConfig,
  type RuntimeConfig,
  type RuntimeConfigInput,
} from "../../../runtime/convex/policy/runtimeConfig.ts";
import { Backend, until } from "../../deployment/backend.ts";
import type { FunctionKind } from "../../deployment/wire.ts";
import { Gate } from "./gate.ts";
import type { Behaviour } from "./image/engine.ts";
import { workerImage } from "./image/image.ts";

const BOT = { id: 4_242, username: "fleet_bot", token: "4242:AAbcdefghijklmnopqrstuvwxyz012345678" };
const BOT_SECRET_REF = "telegram.botToken.default";
const WEBHOOK_SECRET = "master-secret-of-the-webhooks";
/** Telegram waits seconds before it delivers an update again; people of these tests do not have them. */
const REDELIVERY_TIME_SCALE = 20;
const DECISIONS_TOLD = 25;

export interface CloudOptions {
  /** Distinguishes environments that share a Fly. */
  readonly name?: string;
  /** Another environment's Fly, to run side by side. */
  readonly fly?: Harness;
  /** Fly app that this environment is told to use; made when it does not exist. */
  readonly app?: string;
  readonly config?: Omit<RuntimeConfigInput, "provider">;
}

/** A machine as Fly has it; `process` names the leader of its process group and the command itself. */
export interface Machine {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly process: { readonly group: number; readonly main: number | null } | null;
}

/** Times short enough to see recovery, and long enough for crowded cores, where a heartbeat may come late. */
const QUICK: Omit<RuntimeConfigInput, "provider"> = {
  scaling: {
    maxWorkers: 4,
    jobsPerWorker: 3,
    reconcileIntervalMs: 1_000,
    missingMachineGraceMs: 3_000,
    bootTimeoutMs: 20_000,
    workerLostAfterMs: 15_000,
  },
  lease: { leaseMs: 10_000, heartbeatIntervalMs: 2_000, idleHeartbeatIntervalMs: 5_000 },
  retry: { maxAttempts: 50, baseDelayMs: 100, maxDelayMs: 1_000 },
  drain: { drainTimeoutMs: 1_000, killTimeoutMs: 8_000 },
  turn: { typingIndicator: false },
};

export class Cloud {
  readonly backend: Backend;
  readonly fly: Harness;
  /** The way from the backend to Fly's API. */
  readonly gate: Gate;
  readonly app: string;
  readonly owner: string;
  readonly botUsername = BOT.username;
  telegramUrl = "";
  #config: RuntimeConfig | null = null;
  readonly #closers: Array<() => Promise<void>> = [];

  private constructor(backend: Backend, fly: Harness, gate: Gate, options: CloudOptions) {
    const { name = "first" } = options;
    this.backend = backend;
    this.fly = fly;
    this.gate = gate;
    this.app = options.app ?? `af-fleet-${name}`;
    this.owner = `agent-factory/${name}/${createHmac("sha256", name).digest("hex").slice(0, 16)}`;
  }

  static async start(options: CloudOptions = {}): Promise<Cloud> {
    const fly = options.fly ?? (await startHarness({ destroyedVisibleMs: 500 }));
    const cloud = new Cloud(await Backend.start(), fly, await Gate.open(fly.fly.url), options);
    // Another environment's app is its own to clean up.
    if (options.app === undefined) cloud.#closers.push(() => cloud.#endMachines());
    cloud.#closers.push(
      () => cloud.backend.close(),
      () => cloud.gate.close(),
    );
    try {
      await cloud.#startTelegram();
      if (options.fly === undefined) cloud.#closers.push(() => fly.close());
      await cloud.#setUp(options);
      return cloud;
    } catch (error) {
      await cloud.close();
      throw error;
    }
  }

  async #startTelegram(): Promise<void> {
    const state = mkdtempSync(join(tmpdir(), "af-fleet-telegram-"));
    const telegram = await startTelegram({
      state,
      bots: [BOT],
      timeScale: REDELIVERY_TIME_SCALE,
      log: () => undefined,
    });
    this.telegramUrl = telegram.url;
    this.#closers.push(async () => {
      await telegram.close();
      rmSync(state, { recursive: true, force: true });
    });
  }

  async #setUp(options: CloudOptions): Promise<void> {
    const { backend, fly, app } = this;
    const key = (byte: number): string => Buffer.alloc(32, byte).toString("base64");
    await backend.setEnvironment({
      SECRETS_KEY_RING: JSON.stringify({ active: "k1", keys: { k1: key(3) } }),
      WORKER_TOKEN_KEY: key(7),
      FACTORY_OWNER: this.owner,
      TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: WEBHOOK_SECRET, previous: null }),
    });
    await backend.deploy();
    if ((await fly.call("GET", `/v1/apps/${app}`)).status === 404)
      await fly.call("POST", "/v1/apps", {
        name: app,
        org_slug: "personal",
        network: ownerNetwork(this.owner),
      });
    const token = (await fly.call("POST", `/v1/apps/${app}/deploy_token`, { expiry: "24h" })).body;
    const secrets = {
      "fly.apiToken": token.token as string,
      "convex.url": backend.siteUrl,
      [BOT_SECRET_REF]: BOT.token,
    };
    for (const [secretRef, plaintextValue] of Object.entries(secrets)) {
      await this.run("action", "importSecret", { secretRef, plaintextValue });
    }
    const profile = { soulMd: "You answer.", skills: [], secretsRef: [], enabled: true };
    await this.run("mutation", "configureAgent", { agentKey: "default", version: "1", ...profile });
    await this.apply(await this.#firstConfig(options.config));
    await this.#bot("setWebhook", {
      url: `${backend.siteUrl}/agent-factory/telegram/webhook`,
      secret_token: createHmac("sha256", WEBHOOK_SECRET).update(BOT_SECRET_REF).digest("base64url"),
    });
  }

  async #firstConfig(config: CloudOptions["config"]): Promise<RuntimeConfig> {
    const parsed = parseRuntimeConfig({
      ...QUICK,
      ...config,
      scaling: { ...QUICK.scaling, ...config?.scaling },
      provider: {
        apiUrl: this.gate.url,
        appName: this.app,
        organizationSlug: "personal",
        image: await this.pushImage("first"),
        regions: ["iad", "fra"],
      },
      telegram: { apiUrl: this.telegramUrl },
    });
    if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
    return parsed.config;
  }

  async #bot(method: string, params: Record<string, unknown>): Promise<void> {
    const response = await fetch(`${this.telegramUrl}/bot${BOT.token}/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(params),
    });
    if (!response.ok) throw new Error(`${method}: ${await response.text()}`);
  }

  /** @returns the image by digest. */
  async pushImage(revision: string, behaviour: Behaviour = "good"): Promise<string> {
    const digest = await this.fly.push(this.app, revision, await workerImage(revision, behaviour));
    return `registry.fly.io/${this.app}@${digest}`;
  }

  /** As the stack writes it. @returns the revision. */
  async apply(config: RuntimeConfig): Promise<number> {
    const current = await this.run("query", "runtimeConfig", {});
    const expectedRevision = current === null ? null : (current.revision as number);
    this.#config = config;
    const stack = { expectedRevision, owner: this.owner, actor: "stack" };
    return (await this.run("mutation", "applyRuntimeConfig", { config, ...stack })).revision;
  }

  /** The config that was applied last, with a change. */
  changed(change: (config: RuntimeConfig) => void): RuntimeConfig {
    if (this.#config === null) throw new Error("no config was applied");
    const copy = structuredClone(this.#config);
    change(copy);
    return copy;
  }

  /** What `pulumi up` does after a build: writes the image into the config. @returns the revision. */
  async rollOut(image: string): Promise<number> {
    return await this.apply(this.changed((config) => (config.provider.image = image)));
  }

  /** Runs an operator's function of factory.ts. */
  // oxlint-disable-next-line no-explicit-any -- read by tests that name the function; its validator checked it
  async run(kind: FunctionKind, name: string, args: Record<string, unknown> = {}): Promise<any> {
    return (await this.backend.call(kind, `factory:${name}`, args)).value;
  }

  async machines(): Promise<Machine[]> {
    const reply = await this.fly.call("GET", `/local/apps/${this.app}/machines`);
    return (reply.body as Machine[]).filter(({ state }) => state !== "destroyed");
  }

  /** Waits, and tells the scaler's latest decisions when it was in vain. @returns how long it took, ms. */
  async until(what: string, holds: () => Promise<boolean>, withinMs = 60_000): Promise<number> {
    const startedAt = performance.now();
    try {
      await until(what, holds, withinMs);
    } catch (error) {
      const rows = (await this.run("query", "scalerDecisions", { limit: DECISIONS_TOLD })) as Array<{
        text: string;
      }>;
      throw new Error(`${String(error)}\n${rows.map(({ text }) => text).join("\n")}`, { cause: error });
    }
    return performance.now() - startedAt;
  }

  async #endMachines(): Promise<void> {
    for (const { id } of await this.machines())
      await this.fly.call("DELETE", `/v1/apps/${this.app}/machines/${id}?force=true`);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0)) await close();
  }
}
