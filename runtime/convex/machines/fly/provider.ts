/** Fly's implementation of MachineProvider. */
import * as z from "zod";
import { decideOwnership } from "../../policy/owner.ts";
import { OWNER_KEY, WORKER_KEY } from "../metadata.ts";
import { ProviderError } from "../providerError.ts";
import type { CreateMachine, MachineProvider, ObservedMachine, ObservedVolume } from "../provider.ts";
import {
  callFly,
  FlyApiError,
  type FlyAnswer,
  type FlyConnection,
  type HttpMethod,
  isNotFound,
} from "./client.ts";

/** Reads are quick; a create waits until Fly has fetched the image, ms. */
const READ_TIMEOUT_MS = 10_000;
const WRITE_TIMEOUT_MS = 20_000;
/** Most pages of one listing: 100 × 1,000 machines is far above any ceiling. */
const PAGES_MAX = 100;
const PAGE_SIZE = 1_000;

const machineSchema = z.object({
  id: z.string(),
  name: z.string().default(""),
  state: z.string().default("unknown"),
  region: z.string().default(""),
  host_status: z.string().optional(),
  config: z
    .object({ image: z.string().optional(), metadata: z.record(z.string(), z.string()).nullish() })
    .nullish(),
});
const volumeSchema = z.object({
  id: z.string(),
  name: z.string().default(""),
  state: z.string().default("unknown"),
  region: z.string().default(""),
  attached_machine_id: z.string().nullish(),
});
const appSchema = z.object({ network: z.string().nullish() });

function observe(machine: z.output<typeof machineSchema>): ObservedMachine {
  const metadata = machine.config?.metadata ?? {};
  return {
    machineId: machine.id,
    name: machine.name,
    state: machine.state,
    region: machine.region,
    owner: metadata[OWNER_KEY] ?? null,
    workerId: metadata[WORKER_KEY] ?? null,
    image: machine.config?.image ?? null,
    hostReachable: machine.host_status === undefined || machine.host_status === "ok",
  };
}

const observeVolume = (volume: z.output<typeof volumeSchema>): ObservedVolume => ({
  volumeId: volume.id,
  name: volume.name,
  state: volume.state,
  region: volume.region,
  attachedMachineId: volume.attached_machine_id ?? null,
});

/** Fly's machine config for a worker: no services, no restart by the platform, a stop that lets it drain. */
function machineBody(request: CreateMachine): Record<string, unknown> {
  return {
    name: request.name,
    region: request.region,
    ...(request.minSecretsVersion === null ? {} : { min_secrets_version: request.minSecretsVersion }),
    config: {
      image: request.image,
      env: request.env,
      metadata: request.metadata,
      guest: {
        cpu_kind: request.guest.cpuKind,
        cpus: request.guest.cpus,
        memory_mb: request.guest.memoryMb,
      },
      restart: { policy: "no" },
      stop_config: { signal: "SIGTERM", timeout: `${Math.round(request.killTimeoutMs / 1_000)}s` },
      ...(request.volumeId === null ? {} : { mounts: [{ volume: request.volumeId, path: "/data" }] }),
    },
  };
}

/** @param appName the one app that this provider touches. */
export function flyProvider(connection: FlyConnection, appName: string): MachineProvider {
  const app = `/apps/${encodeURIComponent(appName)}`;
  const machinePath = (machineId: string): string => `${app}/machines/${encodeURIComponent(machineId)}`;

  const call = async (method: HttpMethod, path: string, body?: unknown): Promise<FlyAnswer> => {
    try {
      const timeoutMs = method === "GET" ? READ_TIMEOUT_MS : WRITE_TIMEOUT_MS;
      return await callFly(connection, method, path, { body, timeoutMs });
    } catch (error) {
      if (error instanceof FlyApiError) throw new ProviderError(error.failure, error.message);
      throw error;
    }
  };
  /** An answer that acted but cannot be read is unknown, never a failure. */
  const parse = <T>(schema: z.ZodType<T>, answer: FlyAnswer, path: string): T => {
    const result = schema.safeParse(answer.body);
    if (result.success) return result.data;
    throw new ProviderError(
      { kind: "unknown" },
      `Fly API ${path} failed: the answer has an unexpected shape`,
    );
  };
  /** DELETE of something that is gone already is success. */
  const remove = async (path: string): Promise<void> => {
    try {
      await callFly(connection, "DELETE", path, { timeoutMs: WRITE_TIMEOUT_MS });
    } catch (error) {
      if (isNotFound(error)) return;
      if (error instanceof FlyApiError) throw new ProviderError(error.failure, error.message);
      throw error;
    }
  };

  const list = async (): Promise<ObservedMachine[]> => {
    const machines: ObservedMachine[] = [];
    let cursor: string | null = null;
    // Pages may be short or empty while more remain: only the header says that the list has ended.
    for (let page = 0; page < PAGES_MAX; page++) {
      const query: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const path = `${app}/machines?limit=${PAGE_SIZE}${query}`;
      const answer: FlyAnswer = await call("GET", path);
      for (const machine of parse(z.array(machineSchema), answer, path)) machines.push(observe(machine));
      cursor = answer.header("fly-next-cursor");
      if (cursor === null || cursor === "") return machines;
    }
    // Half a list would make every machine beyond it look gone.
    throw new ProviderError(
      { kind: "unknown" },
      `Fly API GET ${app}/machines failed: more than ${PAGES_MAX} pages`,
    );
  };

  return {
    kind: "fly",
    list,
    async verifyOwner(owner, machines) {
      const answer = await call("GET", app);
      const { network } = parse(appSchema, answer, app);
      const verdict = decideOwnership(
        appName,
        owner,
        network ?? null,
        machines.map((machine) => machine.owner),
      );
      if (!verdict.ours) throw new ProviderError({ kind: "not_owned" }, verdict.reason);
    },
    async get(machineId) {
      const path = machinePath(machineId);
      return observe(parse(machineSchema, await call("GET", path), path));
    },
    async create(request) {
      const path = `${app}/machines`;
      return observe(parse(machineSchema, await call("POST", path, machineBody(request)), path));
    },
    async start(machineId) {
      await call("POST", `${machinePath(machineId)}/start`, {});
    },
    async suspend(machineId) {
      await call("POST", `${machinePath(machineId)}/suspend`, {});
    },
    async stop(machineId, timeoutMs) {
      const timeout = `${Math.round(timeoutMs / 1_000)}s`;
      await call("POST", `${machinePath(machineId)}/stop`, { signal: "SIGTERM", timeout });
    },
    async cordon(machineId) {
      await call("POST", `${machinePath(machineId)}/cordon`, {});
    },
    async destroy(machineId) {
      await remove(`${machinePath(machineId)}?force=true`);
    },
    volumes: {
      async list() {
        const path = `${app}/volumes`;
        return parse(z.array(volumeSchema), await call("GET", path), path).map(observeVolume);
      },
      async create({ name, region, sizeGb, guest }) {
        const path = `${app}/volumes`;
        // The guest hint keeps the volume off a host that cannot run the machine.
        const compute = { cpu_kind: guest.cpuKind, cpus: guest.cpus, memory_mb: guest.memoryMb };
        const answer = await call("POST", path, { name, region, size_gb: sizeGb, compute });
        return observeVolume(parse(volumeSchema, answer, path));
      },
      async delete(volumeId) {
        await remove(`${app}/volumes/${encodeURIComponent(volumeId)}`);
      },
    },
  };
}
