/** The real backend on the embedded deployment, in a process of its own that can be killed and started again. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type CallResult, type FunctionKind, Wire } from "./wire.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const CLI = join(ROOT, "node_modules/convex/bin/main.js");
const DEPLOY_TIMEOUT_MS = 120_000;
const TABLE_PAGE = 500;
const TABLE_PAGES_MAX = 1_000;

export type FunctionTotals = { calls: number; errors: number; documentsRead: number };

/** Both ports are fixed for the backend's life, so that it comes back where its callers look for it. */
async function freePorts(): Promise<[number, number]> {
  const servers = [createServer(), createServer()];
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ports.push((server.address() as AddressInfo).port);
  }
  for (const server of servers) server.close();
  const [cloud = 0, site = 0] = ports;
  return [cloud, site];
}

export class Backend {
  readonly state: string;
  readonly url: string;
  readonly siteUrl: string;
  readonly #ports: [number, number];
  #process: ChildProcess | null = null;
  #adminKey = "";
  #admin: Wire | null = null;

  private constructor(state: string, ports: [number, number]) {
    this.state = state;
    this.#ports = ports;
    this.url = `http://127.0.0.1:${ports[0]}`;
    this.siteUrl = `http://127.0.0.1:${ports[1]}`;
  }

  static async start(): Promise<Backend> {
    const backend = new Backend(mkdtempSync(join(tmpdir(), "af-backend-")), await freePorts());
    await backend.boot();
    return backend;
  }

  /** Starts the process; after `kill`, on the same state and ports. */
  async boot(): Promise<void> {
    const [cloudPort, sitePort] = this.#ports;
    const ports = ["--cloud-port", String(cloudPort), "--site-port", String(sitePort)];
    const log = openSync(join(this.state, "stderr.log"), "a");
    const child = spawn(process.execPath, ["local/convex/main.ts", "--state", this.state, ...ports], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", log],
    });
    closeSync(log);
    this.#process = child;
    if (child.stdout === null) throw new Error("the backend's output is not piped");
    const [line] = (await Promise.race([
      once(createInterface({ input: child.stdout }), "line"),
      once(child, "exit").then(() => {
        throw new Error(`the backend did not start: ${readFileSync(join(this.state, "stderr.log"), "utf8")}`);
      }),
    ])) as [string];
    const { adminKeyFile } = JSON.parse(line) as { adminKeyFile: string };
    this.#adminKey = readFileSync(adminKeyFile, "utf8").trim();
    this.#admin?.close();
    this.#admin = this.wire(true);
  }

  /** SIGKILL, as when the machine dies: nothing is flushed, no reply is finished. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  async close(): Promise<void> {
    await this.#end("SIGTERM");
    this.#admin?.close();
    rmSync(this.state, { recursive: true, force: true, maxRetries: 3 });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  /** A caller with connections of its own. */
  wire(asAdmin: boolean): Wire {
    return new Wire(this.url, asAdmin ? this.#adminKey : null);
  }

  get adminKey(): string {
    return this.#adminKey;
  }

  /** As an operator, with the admin key. */
  async call(kind: FunctionKind, path: string, args: object = {}): Promise<CallResult> {
    if (this.#admin === null) throw new Error("the backend was never started");
    return await this.#admin.call(kind, path, args);
  }

  async setEnvironment(values: Record<string, string>): Promise<void> {
    if (this.#admin === null) throw new Error("the backend was never started");
    const changes = Object.entries(values).map(([name, value]) => ({ name, value }));
    const { status, text } = await this.#admin.post("/api/update_environment_variables", { changes });
    if (status !== 200) throw new Error(`environment: ${status} ${text}`);
  }

  /** The unmodified CLI deploys the functions under `root`. */
  async deploy(root = ROOT): Promise<void> {
    const env = {
      PATH: process.env["PATH"],
      HOME: tmpdir(),
      CI: "1",
      NO_COLOR: "1",
      CONVEX_SELF_HOSTED_URL: this.url,
      CONVEX_SELF_HOSTED_ADMIN_KEY: this.#adminKey,
    };
    const args = [CLI, "deploy", "--yes", "--typecheck=disable", "--codegen=disable"];
    const options = { cwd: root, env, timeout: DEPLOY_TIMEOUT_MS };
    await new Promise<void>((resolve, reject) => {
      execFile(process.execPath, args, options, (error, _stdout, stderr) => {
        if (error === null) resolve();
        else reject(new Error(`convex deploy failed: ${stderr}`));
      });
    });
  }

  /** All documents of a table, oldest first. */
  // oxlint-disable-next-line no-explicit-any -- rows are read by tests that know the schema
  async table(table: string): Promise<any[]> {
    const rows: unknown[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < TABLE_PAGES_MAX; page++) {
      const paginationOpts = { numItems: TABLE_PAGE, cursor };
      const found = (
        await this.call("query", "_system/cli/tableData", { table, order: "asc", paginationOpts })
      ).value;
      rows.push(...(found.page as unknown[]));
      if (found.isDone === true) return rows;
      cursor = found.continueCursor as string;
    }
    throw new Error(`table ${table} has more than ${TABLE_PAGE * TABLE_PAGES_MAX} rows`);
  }

  /** Every document of every table, as text to compare. */
  async exportTables(): Promise<Record<string, string>> {
    const tables = (await this.call("query", "_system/cli/tables")).value.page as Array<{ name: string }>;
    const found: Record<string, string> = {};
    for (const { name } of tables) found[name] = JSON.stringify(await this.table(name), null, 1);
    return found;
  }

  /** The same at a moment when the scaler has nothing left to write. */
  async settledTables(): Promise<Record<string, string>> {
    let last = await this.exportTables();
    await until("the tables have come to rest", async () => {
      await new Promise((resolve) => setTimeout(resolve, 500));
      const before = last;
      last = await this.exportTables();
      return JSON.stringify(before) === JSON.stringify(last);
    });
    return last;
  }

  /** What every function has done since the process began. */
  async metrics(): Promise<Record<string, FunctionTotals>> {
    const response = await fetch(`${this.url}/api/local/function_metrics`, {
      headers: { authorization: `Convex ${this.#adminKey}` },
    });
    if (!response.ok) throw new Error(`function metrics: ${response.status}`);
    return ((await response.json()) as { functions: Record<string, FunctionTotals> }).functions;
  }
}

/** Asks again until it holds. @throws after `withinMs`, naming what was waited for. */
export async function until(what: string, holds: () => Promise<boolean>, withinMs = 60_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
