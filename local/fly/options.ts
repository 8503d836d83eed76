/** Everything that may differ between two emulators. Units are in the names; defaults are below. */
export interface FlyOptions {
  /** Folder that holds all state; created with mode 0700. */
  stateDir: string;
  /** Port of the Machines API and GraphQL; 0 = any free one. */
  port: number;
  /** Port of the image registry; 0 = any free one. */
  registryPort: number;
  /** Organization slugs; the first is the one the org token belongs to. */
  organizations: string[];
  /** Region of a machine or volume that names none. */
  defaultRegion: string;
  rateLimit: boolean;
  /** How long creating, starting, stopping, suspending and destroying stay visible at least. */
  transientMs: number;
  /** How long GET still answers `destroyed` before it turns into 404. */
  destroyedVisibleMs: number;
  /** How long a destroyed machine keeps its name (unknown on Fly, so configurable). */
  nameHoldMs: number;
  /** How long a new machine is missing from the organization's machine list, which Fly calls delayed. */
  orgListDelayMs: number;
  /** Longest page of a machine list. */
  pageSizeMax: number;
  /** What a clean stop of the emulator does with running machines. */
  onClose: "kill" | "keep";
  /** Fault rules to install at start (see faults/rules.ts). */
  faults: unknown[];
  /** Milliseconds since the epoch. */
  now: () => number;
  /** One line of progress or trouble, never a secret. */
  log: (line: string) => void;
}

export const defaultOptions: Omit<FlyOptions, "stateDir"> = {
  port: 0,
  registryPort: 0,
  organizations: ["personal"],
  defaultRegion: "iad",
  rateLimit: true,
  transientMs: 50,
  destroyedVisibleMs: 2_000,
  nameHoldMs: 0,
  orgListDelayMs: 5_000,
  pageSizeMax: 1_000,
  onClose: "kill",
  faults: [],
  now: () => Date.now(),
  log: (line) => process.stderr.write(`fly: ${line}\n`),
};
