import type { MachineConfig } from "./configSchema.ts";

/** Every state Fly documents that this emulator can be in. */
export type MachineState =
  | "creating"
  | "created"
  | "starting"
  | "started"
  | "stopping"
  | "stopped"
  | "suspending"
  | "suspended"
  | "restarting"
  | "replacing"
  | "failed"
  | "destroying"
  | "destroyed";

export const SETTLED_STATES: ReadonlySet<MachineState> = new Set([
  "created",
  "started",
  "stopped",
  "suspended",
  "failed",
  "destroyed",
]);

/** Identity of a process that outlives this emulator: a pid alone may be reused. */
export interface ProcessIdentity {
  pid: number;
  /** When the process began, in a form of the operating system's own. */
  startToken: string;
}

export interface ImageRef {
  registry: string;
  repository: string;
  tag?: string;
  digest: string;
  labels?: Record<string, string>;
}

export interface Lease {
  nonce: string;
  owner: string;
  description: string;
  expiresAtMs: number;
  version: string;
}

/** What follows when the running process of a machine that was told to stop has ended. */
export type AfterStop = "stopped" | "start" | "destroyed";

/** One machine as stored. Persisted before every step that another process can notice. */
export interface MachineRecord {
  id: string;
  app: string;
  name: string;
  region: string;
  state: MachineState;
  /** Changes with every new config: Fly's version, alias instance_id. */
  instanceId: string;
  config: MachineConfig;
  imageRef: ImageRef;
  privateIp: string;
  createdAtMs: number;
  updatedAtMs: number;
  /** Version of the app's secrets in the environment; null = skip_secrets. */
  secretsVersion: number | null;
  cordoned: boolean;
  lease: Lease | null;
  process: ProcessIdentity | null;
  /** A stop under way: when the group is killed, and what follows. */
  stop: { killAtMs: number; next: AfterStop } | null;
  /** Automatic restarts in the present window. */
  restarts: { count: number; windowStartedAtMs: number };
  destroyedAtMs: number | null;
}

export interface MachineEvent {
  id: string;
  type: "launch" | "start" | "exit" | "stop" | "suspend" | "restart" | "update" | "destroy";
  status: string;
  source: "user" | "flyd";
  timestamp: number;
  request?: Record<string, unknown>;
}
