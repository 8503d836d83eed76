import type { MachineFolders } from "../machines/folders.ts";
import type { MachineStore } from "../machines/machineStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";

const LOG_CHECK_MS = 2_000;
const PURGE_MS = 60_000;
/** How long a destroyed machine can be listed with include_deleted, and its log be read. */
const DESTROYED_KEPT_MS = 3_600_000;

export interface HousekeepingParts {
  store: MachineStore;
  folders: MachineFolders;
  volumes: VolumeStore;
  now: () => number;
  log: (line: string) => void;
}

/** Keeps logs, destroyed machines and deleted volumes bounded. Returns how to stop it. */
export function startHousekeeping(parts: HousekeepingParts): () => void {
  const { store, folders, volumes, now, log } = parts;
  const logs = setInterval(() => {
    for (const record of store.live()) {
      if (record.process !== null) folders.rotateLog(record.id);
    }
  }, LOG_CHECK_MS);
  const purge = setInterval(() => {
    void sweep().catch((error: unknown) => log(`housekeeping: ${String(error)}`));
  }, PURGE_MS);
  const sweep = async (): Promise<void> => {
    for (const id of store.purge(now() - DESTROYED_KEPT_MS)) await folders.remove(id);
    await volumes.purge(now());
  };
  logs.unref();
  purge.unref();
  return () => {
    clearInterval(logs);
    clearInterval(purge);
  };
}
