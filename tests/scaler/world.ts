/**
 * The real handlers of the backend on a simulated clock, with machines in memory and workers that behave as the
 * image does towards the backend: they report ready, claim, beat, answer and drain. Nothing here decides.
 */
import { convexTest, type TestConvex } from "convex-test";
import { vi } from "vitest";
import { api, internal } from "../../runtime/convex/_generated/api.js";
import type { Doc } from "../../runtime/convex/_generated/dataModel.js";
import { workerToken } from "../../runtime/convex/machines/credentials.ts";
import { ownerNetwork } from "../../runtime/convex/policy/owner.ts";
import {
  parseRuntimeConfig,
  type RuntimeConfig,
  type RuntimeConfigInput,
} from "../../runtime/convex/policy/runtimeConfig.ts";
import { enqueueMessage } from "../../runtime/convex/queue/enqueue.ts";
import schema from "../../runtime/convex/schema.ts";
import { MemoryProvider } from "../providers/memoryProvider.ts";

const realSetTimeout = globalThis.setTimeout;

export const OWNER = "agent-factory/test/0123456789abcdef";
export const STARTED_AT = Date.UTC(2026, 10, 23, 9, 0, 0);
const TOKEN_KEY = btoa(String.fromCharCode(...new Uint8Array(32).fill(7)));
const modules = import.meta.glob("../../runtime/convex/**/*.{ts,js}");

/** The provider that createProvider (mocked in each test file) hands out. */
export const current: { provider: MemoryProvider | null } = { provider: null };
/** For files whose environment moves: the app's provider for whoever has its token, else one that refuses. */
export const apps = new Map<string, { provider: MemoryProvider; token: string }>();
export function openApp(appName: string, token: string): MemoryProvider {
  const app = apps.get(appName);
  if (app?.token === token) return app.provider;
  const closed = new MemoryProvider(appName, null);
  closed.fault = () => ({ failure: { kind: "auth" }, acts: false });
  return closed;
}

export const imageOf = (letter: string): string => `registry.fly.io/af-test@sha256:${letter.repeat(64)}`;

/** A config that passes its own validation; short times, so that scenarios read easily. */
export function configOf(change: (config: RuntimeConfig) => void = () => undefined): RuntimeConfig {
  const input: RuntimeConfigInput = {
    provider: {
      appName: "af-test",
      organizationSlug: "personal",
      image: imageOf("a"),
      regions: ["iad", "fra"],
      guest: {},
    },
    scaling: { maxWorkers: 3, jobsPerWorker: 2, idleTimeoutMs: 60_000 },
  };
  const parsed = parseRuntimeConfig(input);
  if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
  change(parsed.config);
  const checked = parseRuntimeConfig(parsed.config);
  if (!checked.ok) throw new Error(checked.problems.join("\n"));
  return checked.config;
}

/** How the workers of one image behave. */
export interface Behaviour {
  /** ms from machine start to the ready report; null: its process ends at boot; "hang": never reports. */
  bootMs: number | null | "hang";
  turnMs: number;
  /** Every turn fails. */
  fails: boolean;
}
const HEALTHY: Behaviour = { bootMs: 2_000, turnMs: 1_000, fails: false };

interface Turn {
  messageId: Doc<"messageQueue">["_id"];
  leaseId: string;
  endsAt: number;
}

/** The process of one machine; dies with it, sleeps while it is suspended. */
interface Process {
  bootsAt: number | null;
  ready: boolean;
  hung: boolean;
  turns: Turn[];
  lastBeatAt: number;
  claims: number;
}

export class World {
  readonly t: TestConvex<typeof schema>;
  readonly provider: MemoryProvider;
  readonly processes = new Map<string, Process>();
  readonly behaviours = new Map<string, Behaviour>();
  /** Checked after every step. */
  readonly checks: Array<() => Promise<void>> = [];
  private revision: number | null = null;

  private constructor() {
    this.t = convexTest({ schema, modules, transactionLimits: true });
    this.provider = new MemoryProvider("af-test", ownerNetwork(OWNER));
    current.provider = this.provider;
    apps.clear();
  }

  /** An app as the stack makes it: on its own network, with a token that the backend has. */
  async addApp(appName: string): Promise<MemoryProvider> {
    const provider =
      appName === "af-test" ? this.provider : new MemoryProvider(appName, ownerNetwork(OWNER), `${appName}-`);
    const token = `FlyV1 fm2_${appName}`;
    apps.set(appName, { provider, token });
    await this.importSecret("fly.apiToken", token, { appName });
    return provider;
  }

  private get providers(): MemoryProvider[] {
    return [...new Set([this.provider, ...[...apps.values()].map((app) => app.provider)])];
  }

  private machine(machineId: string): { state: string } | undefined {
    return this.providers.map((one) => one.machines.get(machineId)).find((found) => found !== undefined);
  }

  static async start(config: RuntimeConfig = configOf()): Promise<World> {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date"],
      now: STARTED_AT,
    });
    const ring = { active: "k1", keys: { k1: btoa(String.fromCharCode(...new Uint8Array(32).fill(3))) } };
    vi.stubEnv("SECRETS_KEY_RING", JSON.stringify(ring));
    vi.stubEnv("WORKER_TOKEN_KEY", TOKEN_KEY);
    vi.stubEnv("FACTORY_OWNER", OWNER);
    vi.stubEnv("CONVEX_CLOUD_URL", "https://happy-otter-1.convex.cloud");
    vi.stubEnv("CONVEX_SITE_URL", "https://happy-otter-1.convex.site");
    const world = new World();
    await world.importSecret("fly.apiToken", "FlyV1 fm2_test");
    await world.importSecret("convex.url", "https://happy-otter-1.convex.site");
    await world.t.run(async (ctx) => {
      await ctx.db.insert("agentProfiles", {
        agentKey: "default",
        version: "1",
        revision: 1,
        soulMd: "You answer.",
        skills: [],
        secretsRef: [],
        bridgeFunctions: [],
        toolPolicy: { allow: [] },
        enabled: true,
        updatedAt: Date.now(),
      });
    });
    await world.apply(config);
    return world;
  }

  async close(): Promise<void> {
    await this.settle();
    vi.useRealTimers();
    vi.unstubAllEnvs();
    current.provider = null;
  }

  async importSecret(
    secretRef: string,
    plaintextValue: string,
    metadata: Record<string, string> = {},
  ): Promise<void> {
    await this.t.action(internal.secrets.importSecret.importSecret, { secretRef, plaintextValue, metadata });
  }

  /** What the stack does. */
  async apply(config: RuntimeConfig): Promise<number> {
    const applied = await this.t.mutation(internal.config.apply.applyRuntimeConfig, {
      config,
      expectedRevision: this.revision,
      owner: OWNER,
      actor: "stack",
    });
    this.revision = applied.revision;
    return applied.revision;
  }

  /** Follows revisions that the backend wrote itself, as `pulumi refresh` does. */
  async refresh(): Promise<RuntimeConfig> {
    const row = await this.t.query(internal.config.apply.runtimeConfig, {});
    if (row === null) throw new Error("no runtime config");
    this.revision = row.revision;
    return row.config;
  }

  /** @param chatId the message came from this Telegram chat; null: from a consumer app. */
  async write(
    conversation: string,
    text = "hello",
    agentKey = "default",
    chatId: string | null = null,
  ): Promise<Doc<"messageQueue">["_id"]> {
    const { messageId } = await this.t.run(
      async (ctx) =>
        await enqueueMessage(ctx, {
          conversationId: conversation,
          agentKey,
          payload: { provider: "test", providerUserId: "u1", messageText: text },
          destination:
            chatId === null
              ? { kind: "api" }
              : { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId },
        }),
    );
    return messageId;
  }

  async workers(): Promise<Array<Doc<"workers">>> {
    return await this.t.run(async (ctx) => await ctx.db.query("workers").collect());
  }

  async live(): Promise<Array<Doc<"workers">>> {
    return (await this.workers()).filter((worker) => worker.state !== "stopped");
  }

  async messages(): Promise<Array<Doc<"messageQueue">>> {
    return await this.t.run(async (ctx) => await ctx.db.query("messageQueue").collect());
  }

  async decisions(): Promise<string[]> {
    return await this.t.run(async (ctx) =>
      (await ctx.db.query("scalerDecisions").collect()).map((row) => row.text),
    );
  }

  /** Lines that the system itself said, as `<reason>: <conversation>`. */
  async notices(): Promise<string[]> {
    return await this.t.run(async (ctx) =>
      (await ctx.db.query("outbox").collect())
        .filter((row) => row.reason !== "answer")
        .map((row) => `${row.reason}: ${row.conversationId}`),
    );
  }

  async alerts(): Promise<string[]> {
    return await this.t.run(async (ctx) =>
      (await ctx.db.query("scalerAlerts").collect()).map((row) => row.kind),
    );
  }

  /** Scheduled functions that have run so far. */
  async executions(): Promise<string[]> {
    const rows = await this.t.run(async (ctx) => await ctx.db.system.query("_scheduled_functions").collect());
    return rows
      .filter((row) => row.state.kind === "success" || row.state.kind === "failed")
      .map((row) => row.name);
  }

  /** Lets everything that is under way finish, without moving the clock. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) {
      await this.t.finishInProgressScheduledFunctions();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Moves the clock without waiting for what runs: for calls that are held back. */
  async elapse(ms: number, stepMs = 500): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      vi.advanceTimersByTime(stepMs);
      // Real time, since cryptography runs on other threads and ends when it ends.
      await new Promise((resolve) => realSetTimeout(resolve, 3));
    }
  }

  /** Moves the clock, in steps in which timers fire, functions run and workers act. */
  async advance(ms: number, stepMs = 500): Promise<void> {
    for (let passed = 0; passed < ms; passed += stepMs) {
      vi.advanceTimersByTime(Math.min(stepMs, ms - passed));
      await this.runDue();
      await this.runProcesses();
      await this.runDue();
      for (const check of this.checks) await check();
    }
  }

  /** Runs what is due, and what that makes due at once. */
  private async runDue(): Promise<void> {
    for (let i = 0; i < 10; i++) {
      await this.t.finishInProgressScheduledFunctions();
      if (vi.getTimerCount() === 0) return;
      vi.advanceTimersByTime(0);
    }
  }

  /** Advances until the condition holds. */
  async until(condition: () => Promise<boolean>, withinMs = 600_000): Promise<void> {
    for (let passed = 0; passed < withinMs; passed += 500) {
      if (await condition()) return;
      await this.advance(500);
    }
    const log = (await this.decisions()).slice(-15).join("\n");
    throw new Error(`the awaited condition did not come true within ${withinMs / 1_000} s\n${log}`);
  }

  /** The process of a machine ends as by SIGKILL. */
  kill(machineId: string): void {
    const machine = this.machine(machineId);
    if (machine !== undefined) machine.state = "stopped";
    this.processes.delete(machineId);
  }

  /** The process drains by itself, as on a signal of the host: it says so and ends. */
  async sayGoodbye(workerId: string): Promise<void> {
    const credential = { workerId, token: await workerToken(TOKEN_KEY, workerId) };
    await this.t.mutation(api.worker.stopped, { credential, reason: "SIGTERM" });
    const machine = this.provider.living.find((candidate) => candidate.workerId === workerId);
    if (machine !== undefined) this.kill(machine.machineId);
  }

  /** The process goes on but neither beats nor works. */
  hang(machineId: string): void {
    const process = this.processes.get(machineId);
    if (process !== undefined) process.hung = true;
  }

  behaviour(image: string | null): Behaviour {
    return this.behaviours.get(image ?? "") ?? HEALTHY;
  }

  private async runProcesses(): Promise<void> {
    const now = Date.now();
    for (const machineId of this.processes.keys()) {
      const state = this.machine(machineId)?.state;
      if (state !== "started" && state !== "suspended") this.processes.delete(machineId);
    }
    for (const machine of this.providers.flatMap((one) => one.living)) {
      if (machine.state !== "started" || machine.owner !== OWNER) continue;
      const { bootMs } = this.behaviour(machine.image);
      let process = this.processes.get(machine.machineId);
      if (process === undefined) {
        const bootsAt = bootMs === "hang" ? null : now + (bootMs ?? 1_000);
        process = { bootsAt, ready: false, hung: false, turns: [], lastBeatAt: now, claims: 0 };
        this.processes.set(machine.machineId, process);
      }
      await this.runProcess(
        machine.machineId,
        machine.workerId ?? "",
        this.behaviour(machine.image),
        process,
      );
    }
  }

  private async runProcess(
    machineId: string,
    workerId: string,
    behaviour: Behaviour,
    process: Process,
  ): Promise<void> {
    if (process.hung) return;
    const now = Date.now();
    const credential = { workerId, token: await workerToken(TOKEN_KEY, workerId) };
    try {
      if (!process.ready) {
        if (process.bootsAt === null || now < process.bootsAt) return;
        if (behaviour.bootMs === null) {
          this.kill(machineId);
          return;
        }
        const report = { bootMs: now - process.bootsAt, skills: [], removedSkills: [] };
        process.ready = await this.t.mutation(api.worker.ready, { credential, report });
        if (!process.ready) return;
      }
      await this.work(credential, behaviour, process, now);
    } catch (error) {
      // A worker whose credential has died leaves, as the image does; anything else is a defect.
      if (!String(error).includes("Unknown worker or wrong token")) throw error;
      this.kill(machineId);
    }
  }

  private async work(
    credential: { workerId: string; token: string },
    behaviour: Behaviour,
    process: Process,
    now: number,
  ): Promise<void> {
    const inbox = await this.t.query(api.worker.inbox, { credential });
    for (const turn of process.turns.filter((candidate) => now >= candidate.endsAt)) {
      const lease = { messageId: turn.messageId, leaseId: turn.leaseId };
      if (behaviour.fails)
        await this.t.mutation(api.worker.fail, { credential, ...lease, errorMessage: "model failed" });
      else
        await this.t.mutation(api.worker.complete, {
          credential,
          ...lease,
          answer: { text: "ok" },
          history: [],
        });
      process.turns = process.turns.filter((other) => other !== turn);
    }
    if (now - process.lastBeatAt >= 10_000) {
      process.lastBeatAt = now;
      for (const turn of process.turns) {
        await this.t.mutation(api.worker.heartbeat, {
          credential,
          messageId: turn.messageId,
          leaseId: turn.leaseId,
        });
      }
      if (process.turns.length === 0) await this.t.mutation(api.worker.heartbeat, { credential });
    }
    while (!inbox.draining && process.turns.length < inbox.jobsPerWorker) {
      const claimKey = `${credential.workerId}-${++process.claims}`;
      const claim = await this.t.mutation(api.worker.claim, { credential, claimKey });
      if (claim === null) break;
      process.turns.push({
        messageId: claim.messageId,
        leaseId: claim.leaseId,
        endsAt: now + behaviour.turnMs,
      });
    }
  }
}
