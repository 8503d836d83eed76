/**
 * A provider in memory, for simulations: it passes the same suite as Fly's and can be told to fail, before or
 * after it has acted. It knows no time of its own.
 */
import { ProviderError } from "../../runtime/convex/machines/providerError.ts";
import { OWNER_KEY, WORKER_KEY } from "../../runtime/convex/machines/metadata.ts";
import type {
  CreateMachine,
  MachineProvider,
  ObservedMachine,
  ObservedVolume,
} from "../../runtime/convex/machines/provider.ts";
import { decideOwnership } from "../../runtime/convex/policy/owner.ts";
import type { ProviderFailure } from "../../runtime/convex/policy/providerErrors.ts";

export type ProviderOperation =
  "list" | "get" | "create" | "start" | "suspend" | "stop" | "cordon" | "destroy" | "verifyOwner" | "volumes";

/** A failure, and whether the provider acts all the same (its answer is lost). */
export interface Fault {
  failure: ProviderFailure;
  acts: boolean;
  /** The caller itself dies here: an error that is nobody's answer. */
  dies?: boolean;
}

export interface MemoryMachine extends ObservedMachine {
  env: Record<string, string>;
  volumeId: string | null;
}

export class MemoryProvider implements MachineProvider {
  readonly kind = "memory";
  readonly machines = new Map<string, MemoryMachine>();
  readonly volumesById = new Map<string, ObservedVolume>();
  readonly calls: ProviderOperation[] = [];
  /** Asked before every call; null: no fault. */
  fault: (operation: ProviderOperation) => Fault | null = () => null;
  /** Awaited before every call: a slow provider. */
  gate: (() => Promise<void>) | null = null;
  /** Machines that listings do not show yet. */
  readonly unlisted = new Set<string>();
  /** Machines take their time to suspend; the test says when it is over. */
  suspending = false;
  /** Regions that have no room. */
  readonly fullRegions = new Set<string>();
  network: string | null;
  private made = 0;
  private readonly appName: string;
  private readonly idPrefix: string;

  /** @param idPrefix of machines' ids, which are unique over all apps. */
  constructor(appName: string, network: string | null, idPrefix = "m") {
    this.appName = appName;
    this.network = network;
    this.idPrefix = idPrefix;
  }

  /** Machines that exist, whatever their state. */
  get living(): MemoryMachine[] {
    return [...this.machines.values()];
  }

  private async perform<T>(operation: ProviderOperation, act: () => T): Promise<T> {
    this.calls.push(operation);
    // A real call always yields: whatever may interleave, does.
    await (this.gate?.() ?? Promise.resolve());
    const fault = this.fault(operation);
    if (fault === null) return act();
    if (fault.acts) act();
    if (fault.dies === true) throw new Error(`the caller of ${operation} died`);
    throw new ProviderError(fault.failure, `Memory ${operation} failed: ${fault.failure.kind}`);
  }

  private find(machineId: string): MemoryMachine {
    const machine = this.machines.get(machineId);
    if (machine === undefined)
      throw new ProviderError({ kind: "not_found" }, `machine ${machineId} not found`);
    return machine;
  }

  private observe(machine: MemoryMachine): ObservedMachine {
    const { env: _env, volumeId: _volumeId, ...observed } = machine;
    return observed;
  }

  verifyOwner(owner: string, machines: readonly ObservedMachine[]): Promise<void> {
    return this.perform("verifyOwner", () => {
      const owners = machines.map((machine) => machine.owner);
      const verdict = decideOwnership(this.appName, owner, this.network, owners);
      if (!verdict.ours) throw new ProviderError({ kind: "not_owned" }, verdict.reason);
    });
  }

  list(): Promise<ObservedMachine[]> {
    return this.perform("list", () =>
      this.living
        .filter((machine) => !this.unlisted.has(machine.name))
        .map((machine) => this.observe(machine)),
    );
  }

  get(machineId: string): Promise<ObservedMachine> {
    return this.perform("get", () => this.observe(this.find(machineId)));
  }

  create(request: CreateMachine): Promise<ObservedMachine> {
    return this.perform("create", () => {
      const twin = this.living.find((machine) => machine.name === request.name);
      if (twin !== undefined) {
        throw new ProviderError(
          { kind: "name_taken", machineId: twin.machineId },
          `name ${request.name} is taken`,
        );
      }
      if (this.fullRegions.has(request.region)) {
        throw new ProviderError({ kind: "no_capacity", scope: "region" }, `no room in ${request.region}`);
      }
      const machineId = `${this.idPrefix}${++this.made}`;
      const machine: MemoryMachine = {
        machineId,
        name: request.name,
        state: "started",
        region: request.region,
        owner: request.metadata[OWNER_KEY] ?? null,
        workerId: request.metadata[WORKER_KEY] ?? null,
        image: request.image,
        hostReachable: true,
        env: request.env,
        volumeId: request.volumeId,
      };
      this.machines.set(machineId, machine);
      if (request.volumeId !== null) {
        const volume = this.volumesById.get(request.volumeId);
        if (volume !== undefined) volume.attachedMachineId = machineId;
      }
      return this.observe(machine);
    });
  }

  start(machineId: string): Promise<void> {
    return this.perform("start", () => {
      this.find(machineId).state = "started";
    });
  }

  suspend(machineId: string): Promise<void> {
    return this.perform("suspend", () => {
      this.find(machineId).state = this.suspending ? "suspending" : "suspended";
    });
  }

  stop(machineId: string, _timeoutMs: number): Promise<void> {
    return this.perform("stop", () => {
      this.find(machineId).state = "stopped";
    });
  }

  cordon(machineId: string): Promise<void> {
    return this.perform("cordon", () => {
      this.find(machineId);
    });
  }

  destroy(machineId: string): Promise<void> {
    return this.perform("destroy", () => {
      this.machines.delete(machineId);
      for (const volume of this.volumesById.values()) {
        if (volume.attachedMachineId === machineId) volume.attachedMachineId = null;
      }
    });
  }

  readonly volumes: MachineProvider["volumes"] = {
    list: () =>
      this.perform("volumes", () => [...this.volumesById.values()].map((volume) => ({ ...volume }))),
    create: ({ name, region }) =>
      this.perform("volumes", () => {
        const volumeId = `vol_${++this.made}`;
        const volume: ObservedVolume = { volumeId, name, region, state: "created", attachedMachineId: null };
        this.volumesById.set(volumeId, volume);
        return { ...volume };
      }),
    delete: (volumeId) =>
      this.perform("volumes", () => {
        this.volumesById.delete(volumeId);
      }),
  };
}
