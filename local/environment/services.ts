/** Starts and stops the services of the embedded cloud, each a process of its own with its own folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import * as z from "zod";

/** Where everything listens. */
export interface Cloud {
  convex: { url: string; siteUrl: string; adminKeyFile: string };
  fly: { url: string; registryUrl: string; graphqlUrl: string; orgTokenFile: string };
  telegram: { url: string };
  model: { url: string };
}

export interface RunningCloud extends Cloud {
  /** Process ids by service, for those who want to kill one. */
  pids: Record<ServiceName, number>;
  /** Stops all services, the last started first. */
  stop(): Promise<void>;
  /** Ends one service without warning and starts it again on the same ports and folder. */
  restart(name: ServiceName): Promise<void>;
  /** Settles when a service ends that nobody stopped or restarted; never otherwise. */
  lost: Promise<LostService>;
}

export interface LostService {
  name: ServiceName;
  /** Signal or exit code. */
  how: string;
  /** File with its last words. */
  log: string;
}

export type ServiceName = keyof Cloud;

const SERVICES: readonly ServiceName[] = ["model", "telegram", "fly", "convex"];
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;

const readySchemas = {
  convex: z.object({ url: z.string(), siteUrl: z.string(), adminKeyFile: z.string() }),
  fly: z.object({
    url: z.string(),
    registryUrl: z.string(),
    graphqlUrl: z.string(),
    orgTokenFile: z.string(),
  }),
  telegram: z.object({ url: z.string() }),
  model: z.object({ url: z.string() }),
} as const;

const portOf = (url: string): number => Number(new URL(url).port);

/** Flags that put a service on the ports it had before, so that addresses survive a restart. */
function portFlags(name: ServiceName, before: Partial<Cloud>): string[] {
  const known = before[name];
  if (!known) return [];
  if (name === "convex") {
    const convex = known as Cloud["convex"];
    return ["--cloud-port", String(portOf(convex.url)), "--site-port", String(portOf(convex.siteUrl))];
  }
  if (name === "fly") {
    const fly = known as Cloud["fly"];
    return ["--port", String(portOf(fly.url)), "--registry-port", String(portOf(fly.registryUrl))];
  }
  return ["--port", String(portOf(known.url))];
}

interface Service {
  child: ChildProcess;
  ready: unknown;
}

/** @throws Error with the service's last words and its log file when it does not get ready. */
async function startService(
  root: string,
  stateDir: string,
  name: ServiceName,
  flags: string[],
): Promise<Service> {
  const folder = join(stateDir, name);
  mkdirSync(folder, { recursive: true });
  const logFile = join(stateDir, `${name}.log`);
  const log = createWriteStream(logFile, { flags: "a" });
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      join(root, "local", name, "main.ts"),
      "--state",
      folder,
      ...flags,
    ],
    // A group of its own: a terminal's Ctrl-C is for who started it, who may still need it, for a `pulumi destroy` say.
    { cwd: root, stdio: ["ignore", "pipe", "pipe"], detached: true },
  );
  const tail: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => {
    log.write(chunk);
    tail.push(...chunk.toString().split("\n").filter(Boolean));
    tail.splice(0, Math.max(0, tail.length - 8));
  });
  const ready = await new Promise<unknown>((resolve, reject) => {
    const fail = (how: string): void => {
      reject(new Error(`The embedded ${name} service ${how}.\n${tail.join("\n")}\nIts log: ${logFile}`));
    };
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail(`was not ready after ${READY_TIMEOUT_MS / 1_000} s`);
    }, READY_TIMEOUT_MS);
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      fail(`ended with ${signal ?? `exit code ${code}`}`);
    });
    createInterface({ input: child.stdout }).once("line", (line) => {
      clearTimeout(timer);
      child.removeAllListeners("exit");
      resolve(JSON.parse(line));
    });
  });
  return { child, ready };
}

async function stopService(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

/**
 * Starts the embedded cloud in `stateDir`, on the ports that it had before when it had some and they are free.
 * @param progress called once per service, with its name and address.
 */
export async function startCloud(
  root: string,
  stateDir: string,
  progress: (name: ServiceName, address: string) => void,
): Promise<RunningCloud> {
  mkdirSync(stateDir, { recursive: true });
  const addressFile = join(stateDir, "addresses.json");
  const before: Partial<Cloud> = existsSync(addressFile)
    ? (JSON.parse(readFileSync(addressFile, "utf8")) as Partial<Cloud>)
    : {};
  const services = new Map<ServiceName, Service>();
  const lost = Promise.withResolvers<LostService>();
  /** Those that end because they were told to. */
  const ending = new WeakSet<ChildProcess>();
  const keep = (name: ServiceName, service: Service): void => {
    services.set(name, service);
    service.child.once("exit", (code, signal) => {
      if (ending.has(service.child)) return;
      lost.resolve({
        name,
        how: signal ?? `exit code ${code}`,
        log: join(stateDir, `${name}.log`),
      });
    });
    // For the next start, should this process be killed before it can stop them.
    writeFileSync(join(stateDir, "pids.json"), JSON.stringify(pidsOf(services)));
  };
  const stop = async (): Promise<void> => {
    for (const { child } of services.values()) ending.add(child);
    for (const name of [...services.keys()].reverse()) {
      const service = services.get(name);
      if (service) await stopService(service.child, "SIGTERM");
    }
  };
  const start = async (name: ServiceName, known: Partial<Cloud>): Promise<Service> => {
    const flags = portFlags(name, known);
    try {
      return await startService(root, stateDir, name, flags);
    } catch (error) {
      // A port of the last run may be taken by somebody else now: any free one does.
      if (flags.length === 0 || !String(error).includes("already in use")) throw error;
      return startService(root, stateDir, name, []);
    }
  };
  const cloud: Partial<Record<ServiceName, unknown>> = {};
  try {
    for (const name of SERVICES) {
      const service = await start(name, before);
      keep(name, service);
      const ready = readySchemas[name].parse(service.ready);
      cloud[name] = ready;
      progress(name, ready.url);
    }
  } catch (error) {
    await stop();
    throw error;
  }
  const addresses = cloud as unknown as Cloud;
  writeFileSync(addressFile, `${JSON.stringify(addresses, null, 2)}\n`);
  const running: RunningCloud = {
    ...addresses,
    pids: pidsOf(services),
    stop,
    lost: lost.promise,
    restart: async (name) => {
      const service = services.get(name);
      if (service) {
        ending.add(service.child);
        await stopService(service.child, "SIGKILL");
      }
      keep(name, await startService(root, stateDir, name, portFlags(name, addresses)));
      running.pids = pidsOf(services);
    },
  };
  return running;
}

function pidsOf(services: Map<ServiceName, Service>): Record<ServiceName, number> {
  return Object.fromEntries(
    [...services].map(([name, service]) => [name, service.child.pid ?? -1]),
  ) as Record<ServiceName, number>;
}
