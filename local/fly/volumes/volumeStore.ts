import { existsSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Database } from "../store/database.ts";

export interface Volume {
  id: string;
  app: string;
  name: string;
  region: string;
  sizeGb: number;
  encrypted: boolean;
  snapshotRetention: number;
  autoBackup: boolean;
  createdAtMs: number;
  /** Machine that mounts it; null when free. */
  attachedTo: string | null;
  /** Set by DELETE: soft-deleted, gone 24 h later. */
  destroyAtMs: number | null;
}

export interface VolumeSnapshot {
  id: string;
  createdAtMs: number;
  volumeSizeBytes: number;
  retentionDays: number;
}

/** Volumes and the folders that stand for their disks. */
export class VolumeStore {
  readonly #database: Database;
  readonly #folder: string;

  constructor(database: Database, folder: string) {
    this.#database = database;
    this.#folder = folder;
  }

  find(id: string): Volume | null {
    const row = this.#database.prepare("SELECT doc FROM volumes WHERE id = ?").get(id);
    return row === undefined ? null : (JSON.parse(row["doc"] as string) as Volume);
  }

  list(app: string): Volume[] {
    return this.#database
      .prepare("SELECT doc FROM volumes WHERE app = ? ORDER BY seq")
      .all(app)
      .map((row) => JSON.parse(row["doc"] as string) as Volume);
  }

  insert(volume: Volume): void {
    this.#database
      .prepare(
        "INSERT INTO volumes (id, app, seq, doc) VALUES (?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM volumes), ?)",
      )
      .run(volume.id, volume.app, JSON.stringify(volume));
  }

  save(volume: Volume): void {
    this.#database.prepare("UPDATE volumes SET doc = ? WHERE id = ?").run(JSON.stringify(volume), volume.id);
  }

  attach(id: string, machine: string): void {
    const volume = this.find(id);
    if (volume !== null) this.save({ ...volume, attachedTo: machine });
  }

  /** Frees every volume this machine mounts. */
  detachFrom(app: string, machine: string): void {
    for (const volume of this.list(app)) {
      if (volume.attachedTo === machine) this.save({ ...volume, attachedTo: null });
    }
  }

  /** The volume's folder on this computer, made at first use. */
  folder(id: string): string {
    const folder = join(this.#folder, id);
    if (!existsSync(folder)) mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  async removeFolder(id: string): Promise<void> {
    await rm(join(this.#folder, id), { recursive: true, force: true });
  }

  addSnapshot(volume: string, snapshot: VolumeSnapshot): void {
    this.#database
      .prepare(
        `INSERT INTO volume_snapshots (id, volume, seq, doc)
         VALUES (?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM volume_snapshots), ?)`,
      )
      .run(snapshot.id, volume, JSON.stringify(snapshot));
  }

  snapshots(volume: string): VolumeSnapshot[] {
    return this.#database
      .prepare("SELECT doc FROM volume_snapshots WHERE volume = ? ORDER BY seq DESC LIMIT 100")
      .all(volume)
      .map((row) => JSON.parse(row["doc"] as string) as VolumeSnapshot);
  }

  /** Ends volumes whose 24 h are over. */
  async purge(nowMs: number): Promise<void> {
    const rows = this.#database.prepare("SELECT doc FROM volumes").all();
    for (const volume of rows.map((row) => JSON.parse(row["doc"] as string) as Volume)) {
      if (volume.destroyAtMs === null || volume.destroyAtMs > nowMs) continue;
      this.#database.prepare("DELETE FROM volume_snapshots WHERE volume = ?").run(volume.id);
      this.#database.prepare("DELETE FROM volumes WHERE id = ?").run(volume.id);
      await this.removeFolder(volume.id);
    }
  }
}
