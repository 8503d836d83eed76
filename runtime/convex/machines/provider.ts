/**
 * What the scaler asks of a place that runs machines. Every implementation passes the same suite
 * (tests/providers/conformance.ts). Nothing here retries a call that may have acted.
 */

/** A machine as its provider reports it. */
export interface ObservedMachine {
  machineId: string;
  name: string;
  /** The provider's own word for the state, lower case, verbatim; policy/machineStates.ts reads it. */
  state: string;
  region: string;
  /** Identity of the stack that made it, from its metadata; null when it carries none. */
  owner: string | null;
  /** Id of the worker it was made for, from its metadata. */
  workerId: string | null;
  /** Image it was made with; null when the provider does not say. */
  image: string | null;
  /** False while the provider cannot reach the machine's host. */
  hostReachable: boolean;
}

export interface ObservedVolume {
  volumeId: string;
  name: string;
  state: string;
  region: string;
  attachedMachineId: string | null;
}

export interface CreateMachine {
  /** Unique in the app: a repeated create is refused with `name_taken` and the machine adopted. */
  name: string;
  region: string;
  image: string;
  env: Record<string, string>;
  metadata: Record<string, string>;
  guest: { cpuKind: "shared" | "performance"; cpus: number; memoryMb: number };
  /** Time between SIGTERM and the platform's kill, ms. */
  killTimeoutMs: number;
  volumeId: string | null;
  minSecretsVersion: number | null;
}

/** Throws ProviderError for everything but success. */
export interface MachineProvider {
  readonly kind: string;
  /**
   * @param machines the latest listing, which may carry another owner's marks.
   * @throws ProviderError not_owned when the app belongs to another owner.
   */
  verifyOwner(owner: string, machines: readonly ObservedMachine[]): Promise<void>;
  /** Every machine of the app, whoever made it. */
  list(): Promise<ObservedMachine[]>;
  get(machineId: string): Promise<ObservedMachine>;
  create(request: CreateMachine): Promise<ObservedMachine>;
  start(machineId: string): Promise<void>;
  suspend(machineId: string): Promise<void>;
  /** SIGTERM, and SIGKILL after the timeout. Resolves when the provider has taken the order. */
  stop(machineId: string, timeoutMs: number): Promise<void>;
  /** Takes the machine out of the provider's own routing. */
  cordon(machineId: string): Promise<void>;
  /** Ends a machine in whatever state, for good. A machine that is gone already is success. */
  destroy(machineId: string): Promise<void>;
  readonly volumes: {
    list(): Promise<ObservedVolume[]>;
    create(request: {
      name: string;
      region: string;
      sizeGb: number;
      guest: CreateMachine["guest"];
    }): Promise<ObservedVolume>;
    /** A volume that is gone already is success. */
    delete(volumeId: string): Promise<void>;
  };
}
