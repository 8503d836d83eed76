/** The backend on the embedded deployment (a process that can be killed), and machines on the embedded Fly. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { type Harness, startHarness } from "../../local/fly/testing/harness.ts";
import { ownerNetwork } from "../../runtime/convex/policy/owner.ts";
import { parseRuntimeConfig, type RuntimeConfig } from "../../runtime/convex/policy/runtimeConfig.ts";
import { fakeWorkerImage } from "./fakeWorker.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLI = join(ROOT, "node_modules/convex/bin/main.js");

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export interface CloudOptions {
  owner?: string;
  app?: string;
  /** Another environment's Fly, to run side by side. */
  fly?: Harness;
  change?: (config: RuntimeConfig) => void;
}

export class Cloud {
  readonly fly: Harness;
  readonly app: string;
  readonly owner: string;
  readonly state: string;
  image = "";
  private readonly sharedFly: boolean;
  private process: ChildProcess | null = null;
  private readonly cloudPort: number;
  private readonly sitePort: number;
  private adminKey = "";
  private admin: ConvexHttpClient | null = null;
  private config: RuntimeConfig | null = null;

  private constructor(fly: Harness, sharedFly: boolean, options: CloudOptions, ports: [number, number]) {
    this.fly = fly;
    this.sharedFly = sharedFly;
    this.app = options.app ?? "af-faults";
    this.owner = options.owner ?? "agent-factory/faults/0123456789abcdef";
    this.state = mkdtempSync(join(tmpdir(), "af-faults-"));
    [this.cloudPort, this.sitePort] = ports;
  }

  static async start(options: CloudOptions = {}): Promise<Cloud> {
    const fly = options.fly ?? (await startHarness({ destroyedVisibleMs: 500 }));
    const cloud = new Cloud(fly, options.fly !== undefined, options, [await freePort(), await freePort()]);
    try {
      await cloud.startBackend();
      await cloud.setUp(options);
    } catch (error) {
      await cloud.close();
      throw error;
    }
    return cloud;
  }

  get url(): string {
    return `http://127.0.0.1:${this.cloudPort}`;
  }

  async startBackend(): Promise<void> {
    const args = [
      "local/convex/main.ts",
      "--state",
      this.state,
      "--cloud-port",
      `${this.cloudPort}`,
      "--site-port",
      `${this.sitePort}`,
    ];
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      stdio: ["ignore", "pipe", openSync(join(this.state, "stderr.log"), "a")],
    });
    this.process = child;
    if (child.stdout === null) throw new Error("the backend's output is not piped");
    const lines = createInterface({ input: child.stdout });
    const first = (await Promise.race([
      once(lines, "line"),
      once(child, "exit").then(() => {
        throw new Error("the backend did not start");
      }),
    ])) as [string];
    const { adminKeyFile } = JSON.parse(first[0]) as { adminKeyFile: string };
    this.adminKey = readFileSync(adminKeyFile, "utf8").trim();
    this.admin = new ConvexHttpClient(this.url, { logger: false, skipConvexDeploymentUrlCheck: true });
    (this.admin as unknown as { setAdminAuth(key: string): void }).setAdminAuth(this.adminKey);
  }

  /** SIGKILL, as a power cut. */
  async killBackend(): Promise<void> {
    const child = this.process;
    if (child === null) return;
    this.process = null;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  private async cli(args: readonly string[]): Promise<string> {
    const env = {
      PATH: process.env["PATH"],
      HOME: tmpdir(),
      CI: "1",
      NO_COLOR: "1",
      CONVEX_SELF_HOSTED_URL: this.url,
      CONVEX_SELF_HOSTED_ADMIN_KEY: this.adminKey,
    };
    return await new Promise((resolve, reject) => {
      execFile(
        process.execPath,
        [CLI, ...args],
        { cwd: ROOT, env, timeout: 120_000 },
        (error, stdout, stderr) => {
          if (error === null) resolve(stdout);
          else reject(new Error(`convex ${args[0]} failed: ${stderr}`));
        },
      );
    });
  }

  private async setEnvironment(values: Record<string, string>): Promise<void> {
    const response = await fetch(`${this.url}/api/update_environment_variables`, {
      method: "POST",
      headers: { authorization: `Convex ${this.adminKey}`, "content-type": "application/json" },
      body: JSON.stringify({ changes: Object.entries(values).map(([name, value]) => ({ name, value })) }),
    });
    if (!response.ok) throw new Error(`environment: ${response.status} ${await response.text()}`);
  }

  private async setUp({ change }: CloudOptions): Promise<void> {
    const key = (byte: number): string => Buffer.alloc(32, byte).toString("base64");
    await this.setEnvironment({
      SECRETS_KEY_RING: JSON.stringify({ active: "k1", keys: { k1: key(3) } }),
      WORKER_TOKEN_KEY: key(7),
      FACTORY_OWNER: this.owner,
      TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: "secret", previous: null }),
    });
    await this.cli(["deploy", "--codegen", "disable", "--typecheck", "disable"]);
    await this.fly.call("POST", "/v1/apps", {
      name: this.app,
      org_slug: "personal",
      network: ownerNetwork(this.owner),
    });
    this.image = await this.pushImage("one");
    const token = (await this.fly.call("POST", `/v1/apps/${this.app}/deploy_token`, { expiry: "24h" })).body
      .token as string;
    await this.run("action", "factory:importSecret", { secretRef: "fly.apiToken", plaintextValue: token });
    await this.run("action", "factory:importSecret", {
      secretRef: "convex.url",
      plaintextValue: `http://127.0.0.1:${this.sitePort}`,
    });
    await this.run("mutation", "factory:configureAgent", {
      agentKey: "default",
      version: "1",
      soulMd: "You answer.",
      skills: [],
      secretsRef: [],
      enabled: true,
    });
    const parsed = parseRuntimeConfig({
      provider: {
        apiUrl: this.fly.fly.url,
        appName: this.app,
        organizationSlug: "personal",
        image: this.image,
        regions: ["iad", "fra"],
        guest: {},
      },
      scaling: { maxWorkers: 3, jobsPerWorker: 2, reconcileIntervalMs: 3_000, missingMachineGraceMs: 5_000 },
      lease: { leaseMs: 15_000, heartbeatIntervalMs: 3_000, idleHeartbeatIntervalMs: 5_000 },
      drain: { drainTimeoutMs: 5_000, killTimeoutMs: 10_000 },
    });
    if (!parsed.ok) throw new Error(parsed.problems.join("\n"));
    change?.(parsed.config);
    await this.apply(parsed.config);
  }

  async pushImage(revision: string): Promise<string> {
    return `registry.fly.io/${this.app}@${await this.fly.push(this.app, revision, fakeWorkerImage(revision))}`;
  }

  async apply(config: RuntimeConfig): Promise<number> {
    const current = await this.run("query", "factory:runtimeConfig", {});
    this.config = config;
    const applied = await this.run("mutation", "factory:applyRuntimeConfig", {
      config,
      expectedRevision: current === null ? null : current.revision,
      owner: this.owner,
      actor: "stack",
    });
    return applied.revision as number;
  }

  changed(change: (config: RuntimeConfig) => void): RuntimeConfig {
    if (this.config === null) throw new Error("no config applied");
    const copy = structuredClone(this.config);
    change(copy);
    return copy;
  }

  /** Runs an operator's function with the admin key. */
  // Results are read by tests that have just named the function; its return validator has checked them.
  async run(
    kind: "query" | "mutation" | "action",
    path: string,
    args: Record<string, unknown>,
    // oxlint-disable-next-line no-explicit-any
  ): Promise<any> {
    if (this.admin === null) throw new Error("the backend is not running");
    switch (kind) {
      case "query":
        return await this.admin.query(makeFunctionReference<"query">(path), args);
      case "mutation":
        return await this.admin.mutation(makeFunctionReference<"mutation">(path), args);
      case "action":
        return await this.admin.action(makeFunctionReference<"action">(path), args);
    }
  }

  async write(conversation: string, text: string): Promise<string> {
    return (await this.run("mutation", "factory:enqueue", {
      conversationId: conversation,
      agentKey: "default",
      payload: { provider: "test", providerUserId: "u1", messageText: text, externalMessageId: text },
    })) as string;
  }

  /** Machines as Fly has them, with the leader of each one's process group. */
  async machines(): Promise<
    Array<{ id: string; name: string; state: string; process: { group: number; main: number | null } | null }>
  > {
    return (await this.fly.call("GET", `/local/apps/${this.app}/machines`)).body;
  }

  async living(): Promise<Awaited<ReturnType<Cloud["machines"]>>> {
    return (await this.machines()).filter((machine) => !["destroyed", "destroying"].includes(machine.state));
  }

  async stats(): Promise<{
    queuedReady: number;
    processing: number;
    deadLetter: number;
    queuedDelayed: number;
  }> {
    return await this.run("query", "factory:queueStats", {});
  }

  async idle(): Promise<boolean> {
    const { queuedReady, processing, queuedDelayed } = await this.stats();
    return queuedReady + processing + queuedDelayed === 0;
  }

  async doneCount(): Promise<number> {
    let count = 0;
    let cursor: string | null = null;
    for (let page = 0; page < 100; page++) {
      const found = await this.run("query", "factory:listJobsByStatus", {
        status: "done",
        paginationOpts: { numItems: 100, cursor },
      });
      count += found.messages.length;
      cursor = found.cursor;
      if (cursor === null) break;
    }
    return count;
  }

  async until(what: string, condition: () => Promise<boolean>, withinMs = 60_000): Promise<number> {
    const startedAt = Date.now();
    while (Date.now() - startedAt < withinMs) {
      if (await condition()) return Date.now() - startedAt;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const log = this.admin === null ? [] : await this.run("query", "factory:scalerDecisions", { limit: 15 });
    const told = (log as Array<{ text: string }>).map((row) => row.text).join("\n");
    throw new Error(`not within ${withinMs / 1_000} s: ${what}\n${told}`);
  }

  async close(): Promise<void> {
    for (const machine of await this.machines()) {
      await this.fly.call("DELETE", `/v1/apps/${this.app}/machines/${machine.id}?force=true`);
    }
    const child = this.process;
    if (child !== null) {
      this.process = null;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    if (!this.sharedFly) await this.fly.close();
    rmSync(this.state, { recursive: true, force: true, maxRetries: 3 });
  }
}
