import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
} from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { SecretStore } from "../secrets/secretStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";
import type { Folders } from "./launchPlan.ts";
import type { MachineRecord } from "./record.ts";
import { assembleRoot, placeInRoot, writeGuestFile } from "./rootFs.ts";

/** A log is cut at this size; one older part of the same size is kept. */
const LOG_BYTES_MAX = 4 * 1024 * 1024;

/** The folder of each machine: <machines>/<id>/{root,data,tmp,log,run}. */
export class MachineFolders {
  readonly #base: string;
  readonly #volumes: VolumeStore;
  readonly #secrets: SecretStore;

  constructor(base: string, volumes: VolumeStore, secrets: SecretStore) {
    this.#base = base;
    this.#volumes = volumes;
    this.#secrets = secrets;
  }

  of(id: string): Folders {
    const at = (part: string): string => join(this.#base, id, part);
    return { root: at("root"), data: at("data"), tmp: at("tmp"), log: at("log"), run: at("run") };
  }

  logFile(id: string): string {
    return join(this.of(id).log, "output.log");
  }

  /**
   * Gives a machine the disk it boots with: root, tmp and data anew from the image, unless `rootfs.persist` keeps the
   * root; data is the mounted volume when one is mounted at /data.
   */
  async prepare(
    record: MachineRecord,
    layerFolders: readonly string[],
    isRestart: boolean,
  ): Promise<Folders> {
    const folders = this.of(record.id);
    const persist = record.config.rootfs?.persist ?? record.config.guest.persist_rootfs ?? "never";
    const keepRoot =
      existsSync(folders.root) && (persist === "always" || (persist === "restart" && isRestart));
    for (const folder of [folders.tmp, folders.run, ...(keepRoot ? [] : [folders.root, folders.data])]) {
      await rm(folder, { recursive: true, force: true });
    }
    if (!keepRoot) await assembleRoot(layerFolders, folders.root);
    for (const folder of [folders.tmp, folders.run, folders.log, join(folders.root, "home")]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
    await this.#mount(record, folders);
    await this.#writeFiles(record, folders.root);
    return folders;
  }

  async #mount(record: MachineRecord, folders: Folders): Promise<void> {
    const mount = record.config.mounts?.[0];
    if (mount?.path === "/data") {
      await rm(folders.data, { recursive: true, force: true });
      await symlink(this.#volumes.folder(mount.volume), folders.data);
      return;
    }
    await mkdir(folders.data, { recursive: true, mode: 0o700 });
    if (mount === undefined) return;
    const place = await placeInRoot(folders.root, mount.path);
    await rm(place, { recursive: true, force: true });
    await symlink(this.#volumes.folder(mount.volume), place);
  }

  async #writeFiles(record: MachineRecord, root: string): Promise<void> {
    const files = record.config.files ?? [];
    if (files.length === 0) return;
    const values = this.#secrets.valuesAt(record.app, record.secretsVersion ?? 0);
    for (const file of files) {
      const encoded = file.raw_value ?? values[file.secret_name ?? ""];
      if (encoded === undefined)
        throw new Error(`file ${file.guest_path}: secret ${file.secret_name} is not set`);
      await writeGuestFile(root, file.guest_path, Buffer.from(encoded, "base64"), file.mode ?? 0o644);
    }
  }

  /** Removes everything but the log, which outlives the machine until its row is purged. */
  async clear(id: string): Promise<void> {
    const { root, data, tmp, run } = this.of(id);
    for (const folder of [root, data, tmp, run]) await rm(folder, { recursive: true, force: true });
  }

  async remove(id: string): Promise<void> {
    await rm(join(this.#base, id), { recursive: true, force: true });
  }

  /** Removes folders of machines that are in no row (an app that was deleted while the emulator was killed). */
  async collect(known: ReadonlySet<string>): Promise<void> {
    mkdirSync(this.#base, { recursive: true });
    for (const id of readdirSync(this.#base)) {
      if (!known.has(id)) await this.remove(id);
    }
  }

  /** The last lines of the machine's output, at most what the log keeps. */
  tail(id: string, lines: number): string[] {
    const file = this.logFile(id);
    const parts = [`${file}.1`, file]
      .filter((path) => existsSync(path))
      .map((path) => readFileSync(path, "utf8"));
    const all = parts.join("").split("\n");
    if (all.at(-1) === "") all.pop();
    return all.slice(-lines);
  }

  /** Copies and cuts a log that has grown too long; the process keeps appending to the same file. */
  rotateLog(id: string): void {
    const file = this.logFile(id);
    if (!existsSync(file) || statSync(file).size <= LOG_BYTES_MAX) return;
    copyFileSync(file, `${file}.1`);
    truncateSync(file, 0);
  }
}
