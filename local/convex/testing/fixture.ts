import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConvexClient, ConvexHttpClient } from "convex/browser";
import { WebSocket } from "ws";
import { startConvex, type ConvexOptions, type RunningConvex } from "../server.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/", import.meta.url));
const CLI = fileURLToPath(new URL("../../../node_modules/convex/bin/main.js", import.meta.url));
const CLI_TIMEOUT_MS = 50_000;

export type Fixture = "app" | "strict" | "throwing" | "badcron";

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Target {
  readonly url: string;
  readonly adminKey: string;
}

/** A folder that is removed by the returned function. */
export function temporaryState(): { readonly state: string; readonly remove: () => void } {
  const state = mkdtempSync(join(tmpdir(), "convex-test-"));
  return { state, remove: () => rmSync(state, { recursive: true, force: true, maxRetries: 3 }) };
}

export function adminKeyOf(convex: Pick<RunningConvex, "adminKeyFile">): string {
  return readFileSync(convex.adminKeyFile, "utf8").trim();
}

/** Runs the unmodified Convex CLI in a fixture app. */
export async function runCli(
  target: Target,
  args: readonly string[],
  fixture: Fixture = "app",
): Promise<CliResult> {
  const env = {
    PATH: process.env["PATH"],
    HOME: tmpdir(),
    // Keeps the CLI from reporting to its makers, which only adds noise where there is no internet.
    CI: "1",
    NO_COLOR: "1",
    CONVEX_SELF_HOSTED_URL: target.url,
    CONVEX_SELF_HOSTED_ADMIN_KEY: target.adminKey,
  };
  return await new Promise((resolve) => {
    const options = { cwd: join(FIXTURES, fixture), env, timeout: CLI_TIMEOUT_MS };
    const child = execFile(process.execPath, [CLI, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (child.exitCode ?? 1), stdout, stderr });
    });
    child.stdin?.end();
  });
}

/** Deploys a fixture without type-checking it, which the tests of the repository do anyway. */
export async function deploy(target: Target, fixture: Fixture = "app"): Promise<CliResult> {
  return await runCli(target, ["deploy", "--codegen", "disable", "--typecheck", "disable"], fixture);
}

/** A deployment in this process with the main fixture deployed, and clients for it. */
export class TestDeployment {
  readonly convex: RunningConvex;
  readonly target: Target;
  readonly state: string;
  readonly http: ConvexHttpClient;
  readonly admin: ConvexHttpClient;
  readonly #clients: ConvexClient[] = [];
  readonly #remove: () => void;

  constructor(convex: RunningConvex, state: string, remove: () => void) {
    this.convex = convex;
    this.state = state;
    this.#remove = remove;
    this.target = { url: convex.url, adminKey: adminKeyOf(convex) };
    this.http = new ConvexHttpClient(convex.url, { logger: false });
    this.admin = new ConvexHttpClient(convex.url, { logger: false });
    // Not in the public types: the CLI and the dashboard use it.
    (this.admin as unknown as { setAdminAuth(key: string): void }).setAdminAuth(this.target.adminKey);
  }

  static async start(options: Omit<ConvexOptions, "state"> = {}): Promise<TestDeployment> {
    const { state, remove } = temporaryState();
    const deployment = new TestDeployment(await startConvex({ state, ...options }), state, remove);
    const { code, stderr } = await deploy(deployment.target);
    if (code !== 0) throw new Error(`The fixture could not be deployed: ${stderr}`);
    return deployment;
  }

  /** A WebSocket client, closed with the deployment. */
  client(): ConvexClient {
    // The client types the constructor as the browser's WebSocket.
    const webSocketConstructor = WebSocket as unknown as typeof globalThis.WebSocket;
    const client = new ConvexClient(this.convex.url, { webSocketConstructor, logger: false });
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.convex.close();
    this.#remove();
  }
}

/** Asks again until the answer fits. @param timeoutMs gives up after this long */
export async function eventually<T>(
  ask: () => Promise<T>,
  fits: (answer: T) => boolean,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (fits(answer)) return answer;
    if (performance.now() > deadline)
      throw new Error(`Still ${JSON.stringify(answer)} after ${timeoutMs} ms.`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
