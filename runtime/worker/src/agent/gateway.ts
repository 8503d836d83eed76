/**
 * One OpenClaw gateway as a child process: rendered config, private state and temp folders, started, probed,
 * stopped. Its state never survives a start: OpenClaw resumes interrupted turns by itself, and a turn that the
 * backend gave to another worker must not run twice.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { pause } from "../pause.ts";
import { EXTENDED_AGENT, renderAgentSettings, renderGatewayConfig, SAFE_AGENT } from "./gatewayConfig.ts";
import { workspaceFiles } from "./workspaceFiles.ts";
import type { ModelPlan } from "./models.ts";
import { renderPluginManifest } from "./pluginManifest.ts";
import { GatewayRpc, GatewayUnavailableError } from "./rpc.ts";

export interface GatewayOptions {
  openclawDir: string;
  /** Private folder of this gateway; wiped at every start. */
  runDir: string;
  /** The built plugin: `index.js` and `package.json`. */
  pluginSourceDir: string;
  models: ModelPlan;
  /** Tools that the plugin may offer, declared before OpenClaw loads it. */
  bridgeToolNames: string[];
  turnTimeoutSeconds: number;
  compileCache: CompileCache;
  bootTimeoutMs: number;
  /** One line of the gateway's own output; it may hold content and is only for debugging. */
  onOutput?: (line: string) => void;
}

/** Where Node keeps what it has compiled of OpenClaw: code only. */
export interface CompileCache {
  dir: string;
  /** Filed by paths relative to the cache, so that it may have been made elsewhere. */
  portable: boolean;
}

export interface Gateway {
  readonly pid: number;
  readonly port: number;
  readonly rpc: GatewayRpc;
  readonly bootMs: number;
  /** Folder of the running plugin; its manifest may be rewritten before a reload. */
  readonly pluginDir: string;
  /** Resolves when the process is gone, with its exit code or signal. */
  readonly exited: Promise<string>;
  /** Asks to stop, then kills after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

const PROBE_INTERVAL_MS = 200;
const PROBE_TIMEOUT_MS = 2_000;

/** What the child inherits: never the worker's token, never a key that it does not need. */
const inheritedVariables = [
  "PATH",
  "LANG",
  "LC_ALL",
  "TZ",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "NODE_EXTRA_CA_CERTS",
  "SSL_CERT_FILE",
];

/**
 * Starts a gateway on a fresh state folder and connects to it.
 *
 * @param signal ends the boot.
 * @throws {GatewayUnavailableError} when it does not answer within `bootTimeoutMs`; nothing is left running then.
 */
export async function startGateway(options: GatewayOptions, signal: AbortSignal): Promise<Gateway> {
  const startedAt = performance.now();
  const paths = await layOut(options);
  const port = await freePort();
  const token = randomBytes(24).toString("base64url");
  await writeFile(
    paths.configFile,
    JSON.stringify(
      renderGatewayConfig({
        port,
        models: options.models,
        pluginDir: paths.pluginDir,
        workspaceDir: paths.workspaceDir,
        extendedWorkspaceDir: paths.extendedWorkspaceDir,
        turnTimeoutSeconds: options.turnTimeoutSeconds,
        logFile: join(paths.tmpDir, "openclaw.log"),
      }),
      null,
      2,
    ),
    { mode: 0o600 },
  );

  const child = spawn(
    process.execPath,
    [join(options.openclawDir, "openclaw.mjs"), "gateway", "run", "--port", String(port)],
    { cwd: options.runDir, env: childEnvironment(options, paths, token), stdio: ["pipe", "pipe", "pipe"] },
  );
  // Whatever ends this process must end the gateway too. For SIGKILL the plugin watches the pipe behind stdin.
  const killAtExit = (): void => void child.kill("SIGKILL");
  process.once("exit", killAtExit);
  child.once("exit", () => process.off("exit", killAtExit));
  const exited = new Promise<string>((resolve) => {
    child.once("exit", (code, killer) => resolve(killer ?? `exit code ${code}`));
    child.once("error", (error) => resolve(error.message));
  });
  forwardLines(child, options.onOutput);

  try {
    await ready(port, exited, options.bootTimeoutMs, signal);
    const rpc = await GatewayRpc.connect(port, token);
    return {
      pid: child.pid ?? -1,
      port,
      rpc,
      bootMs: Math.round(performance.now() - startedAt),
      pluginDir: paths.pluginDir,
      exited,
      stop: async (graceMs) => {
        rpc.close();
        await end(child, exited, graceMs);
      },
    };
  } catch (error) {
    await end(child, exited, 0);
    throw error;
  }
}

async function layOut(options: GatewayOptions) {
  const stateDir = join(options.runDir, "state");
  const paths = {
    stateDir,
    homeDir: join(options.runDir, "home"),
    tmpDir: join(options.runDir, "tmp"),
    pluginDir: join(options.runDir, "plugin"),
    workspaceDir: join(options.runDir, "workspace"),
    extendedWorkspaceDir: join(options.runDir, "workspace-extended"),
    configFile: join(stateDir, "openclaw.json"),
  };
  await rm(options.runDir, { recursive: true, force: true });
  for (const dir of [stateDir, paths.homeDir, paths.tmpDir, paths.workspaceDir, paths.extendedWorkspaceDir]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  }
  for (const dir of [paths.workspaceDir, paths.extendedWorkspaceDir]) {
    for (const [name, text] of Object.entries(workspaceFiles)) await writeFile(join(dir, name), text);
  }
  for (const agentId of [SAFE_AGENT, EXTENDED_AGENT]) {
    const agentDir = join(stateDir, "agents", agentId, "agent");
    await mkdir(agentDir, { recursive: true, mode: 0o700 });
    await writeFile(join(agentDir, "settings.json"), JSON.stringify(renderAgentSettings(options.models)));
  }
  await cp(options.pluginSourceDir, paths.pluginDir, { recursive: true });
  await writeFile(
    join(paths.pluginDir, "openclaw.plugin.json"),
    JSON.stringify(renderPluginManifest(options.bridgeToolNames), null, 2),
  );
  return paths;
}

function childEnvironment(
  options: GatewayOptions,
  paths: { stateDir: string; homeDir: string; tmpDir: string; configFile: string },
  token: string,
): Record<string, string> {
  const inherited = inheritedVariables.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    HOME: paths.homeDir,
    TMPDIR: paths.tmpDir,
    OPENCLAW_STATE_DIR: paths.stateDir,
    OPENCLAW_CONFIG_PATH: paths.configFile,
    OPENCLAW_NO_RESPAWN: "1",
    // The launcher would otherwise start itself again to move its compile cache, and the process that is watched,
    // measured and killed here would only be a wrapper around the gateway.
    OPENCLAW_PACKAGED_COMPILE_CACHE_RESPAWNED: "1",
    OPENCLAW_DISABLE_BONJOUR: "1",
    OPENCLAW_SKIP_CHANNELS: "1",
    // `plugins.allow` lets none of them in; without this their manifests are read and checked again and again.
    OPENCLAW_DISABLE_BUNDLED_PLUGINS: "1",
    OPENCLAW_EXEC_SHELL_SNAPSHOT: "0",
    OPENCLAW_NO_AUTO_UPDATE: "1",
    OPENCLAW_OFFLINE: "1",
    OPENCLAW_CONFIG_READONLY: "1",
    DO_NOT_TRACK: "1",
    NODE_COMPILE_CACHE: options.compileCache.dir,
    ...(options.compileCache.portable ? { NODE_COMPILE_CACHE_PORTABLE: "1" } : {}),
    OPENCLAW_GATEWAY_TOKEN: token,
    ...Object.fromEntries(options.models.providers.map((provider) => [provider.keyVariable, provider.key])),
  };
}

async function ready(
  port: number,
  exited: Promise<string>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let gone: string | null = null;
  void exited.then((how) => (gone = how));
  while (performance.now() < deadline) {
    if (signal.aborted) throw new GatewayUnavailableError("The boot was given up");
    if (gone !== null)
      throw new GatewayUnavailableError(`The gateway ended before it was ready (${String(gone)})`);
    if (await answers(`http://127.0.0.1:${port}/readyz`)) return;
    await Promise.race([pause(PROBE_INTERVAL_MS, signal), exited]);
  }
  throw new GatewayUnavailableError(`The gateway was not ready within ${timeoutMs} ms`);
}

async function answers(url: string): Promise<boolean> {
  try {
    // A gateway sends nobody elsewhere.
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS), redirect: "error" });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // Not listening yet, or not HTTP: the caller asks again until its deadline.
  }
}

/** Answers whether a running gateway still serves: what a supervisor asks of one that may hang. */
export function gatewayAnswers(port: number): Promise<boolean> {
  return answers(`http://127.0.0.1:${port}/healthz`);
}

async function end(child: ChildProcess, exited: Promise<string>, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  if (graceMs > 0) {
    child.kill("SIGTERM");
    await Promise.race([exited, pause(graceMs)]);
  }
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  await exited;
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function forwardLines(child: ChildProcess, onOutput: ((line: string) => void) | undefined): void {
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      for (const line of chunk.split("\n")) if (line.trim() !== "") onOutput?.(line);
    });
  }
}
