import type { AppStore } from "../apps/appStore.ts";
import type { MachineFolders } from "../machines/folders.ts";
import type { MachineStore } from "../machines/machineStore.ts";
import type { UsageBook } from "../machines/usage.ts";
import type { SecretStore } from "../secrets/secretStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";

const LOG_CHECK_MS = 2_000;
const PURGE_MS = 60_000;
/** How long a destroyed machine can be listed with include_deleted, and its log be read. */
const DESTROYED_KEPT_MS = 3_600_000;

/** Usage and idempotency keys are kept this long. */
const HISTORY_KEPT_MS = 30 * 24 * 3_600_000;

export interface HousekeepingParts {
  apps: AppStore;
  secrets: SecretStore;
  usage: UsageBook;
  store: MachineStore;
  folders: MachineFolders;
  volumes: VolumeStore;
  now: () => number;
  log: (line: string) => void;
}

/** Keeps logs, destroyed machines, deleted volumes, old secret values and history bounded. Returns how to stop it. */
export function startHousekeeping(parts: HousekeepingParts): () => void {
  const { apps, secrets, usage, store, folders, volumes, now, log } = parts;
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
    usage.purge(now() - HISTORY_KEPT_MS);
    apps.purgeKeys(now() - HISTORY_KEPT_MS);
    for (const { name } of apps.all()) {
      secrets.forgetBefore(name, store.oldestSecretsVersion(name) ?? secrets.version(name));
    }
  };
  logs.unref();
  purge.unref();
  return () => {
    clearInterval(logs);
    clearInterval(purge);
  };
}
