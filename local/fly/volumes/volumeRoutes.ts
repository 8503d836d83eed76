import * as z from "zod";
import { failedPrecondition, invalidArgument, notFound, parseInput } from "../errors.ts";
import { type AppCall, type Route, ok } from "../http/route.ts";
import { snapshotId, volumeId } from "../ids.ts";
import { guestSchema } from "../machines/configSchema.ts";
import { isRegion } from "../platform/regions.ts";
import type { Volume, VolumeSnapshot, VolumeStore } from "./volumeStore.ts";

const GIB = 1024 ** 3;
const BLOCK_BYTES = 4_096;
const SIZE_GB_MAX = 500;
/** A deleted volume is kept, unbilled, for a day. */
const DESTROY_DELAY_MS = 24 * 3_600_000;

const retention = z.number().int().min(1).max(60);
const sizeGb = z.number().int().min(1).max(SIZE_GB_MAX);
const createBody = z.object({
  name: z
    .string()
    .regex(/^[a-z0-9_]{1,30}$/, "must be lowercase letters, digits and underscores, at most 30"),
  region: z.string().optional(),
  size_gb: sizeGb.default(3),
  encrypted: z.boolean().default(true),
  compute: guestSchema.optional(),
  compute_image: z.string().optional(),
  fstype: z.string().optional(),
  require_unique_zone: z.boolean().optional(),
  unique_zone_app_wide: z.boolean().optional(),
  snapshot_id: z.string().optional(),
  source_volume_id: z.string().optional(),
  snapshot_retention: retention.default(5),
  auto_backup_enabled: z.boolean().default(true),
});
const updateBody = z.object({
  snapshot_retention: retention.optional(),
  auto_backup_enabled: z.boolean().optional(),
});
const extendBody = z.object({ size_gb: sizeGb });

function view(volume: Volume): Record<string, unknown> {
  const blocks = (volume.sizeGb * GIB) / BLOCK_BYTES;
  return {
    id: volume.id,
    name: volume.name,
    state: volume.destroyAtMs === null ? "created" : "pending_destroy",
    region: volume.region,
    zone: `${volume.region}-1`,
    size_gb: volume.sizeGb,
    encrypted: volume.encrypted,
    fstype: "ext4",
    type: "local",
    host_status: "ok",
    created_at: new Date(volume.createdAtMs).toISOString(),
    auto_backup_enabled: volume.autoBackup,
    snapshot_retention: volume.snapshotRetention,
    block_size: BLOCK_BYTES,
    blocks,
    blocks_avail: blocks,
    blocks_free: blocks,
    bytes_total: volume.sizeGb * GIB,
    bytes_used: 0,
    ...(volume.attachedTo === null
      ? {}
      : { attached_machine_id: volume.attachedTo, attached_alloc_id: volume.attachedTo }),
  };
}

const snapshotView = (snapshot: VolumeSnapshot): Record<string, unknown> => ({
  id: snapshot.id,
  status: "created",
  created_at: new Date(snapshot.createdAtMs).toISOString(),
  retention_days: snapshot.retentionDays,
  volume_size: snapshot.volumeSizeBytes,
  size: 0,
});

export function volumeRoutes(volumes: VolumeStore, defaultRegion: string, now: () => number): Route[] {
  const base = "/v1/apps/:app/volumes";
  const one = `${base}/:volume`;
  const find = (call: AppCall): Volume => {
    const volume = volumes.find(call.params["volume"] ?? "");
    if (volume === null || volume.app !== call.app.name) throw notFound("volume not found");
    return volume;
  };
  const change = (volume: Volume, fields: Partial<Volume>): Volume => {
    const changed = { ...volume, ...fields };
    volumes.save(changed);
    return changed;
  };
  return [
    {
      operation: "Volumes_list",
      method: "GET",
      path: base,
      access: "app",
      handle: (call) => ok(volumes.list(call.app.name).map(view)),
    },
    {
      operation: "Volumes_create",
      method: "POST",
      path: base,
      access: "app",
      handle: (call) => {
        const body = parseInput(createBody, call.body);
        const region = body.region ?? defaultRegion;
        // Unlike machines, volumes take no meta-region.
        if (!isRegion(region)) throw invalidArgument(`region: '${region}' is not a region`);
        const volume: Volume = {
          id: volumeId(),
          app: call.app.name,
          name: body.name,
          region,
          sizeGb: body.size_gb,
          encrypted: body.encrypted,
          snapshotRetention: body.snapshot_retention,
          autoBackup: body.auto_backup_enabled,
          createdAtMs: now(),
          attachedTo: null,
          destroyAtMs: null,
        };
        volumes.insert(volume);
        return ok(view(volume));
      },
    },
    {
      operation: "Volumes_get_by_id",
      method: "GET",
      path: one,
      access: "app",
      handle: (call) => ok(view(find(call))),
    },
    {
      operation: "Volumes_update",
      method: "PUT",
      path: one,
      access: "app",
      handle: (call) => {
        const body = parseInput(updateBody, call.body);
        const volume = find(call);
        const fields = {
          snapshotRetention: body.snapshot_retention ?? volume.snapshotRetention,
          autoBackup: body.auto_backup_enabled ?? volume.autoBackup,
        };
        return ok(view(change(volume, fields)));
      },
    },
    {
      operation: "Volume_delete",
      method: "DELETE",
      path: one,
      access: "app",
      handle: (call) => {
        const volume = find(call);
        if (volume.attachedTo !== null) {
          throw failedPrecondition(`volume ${volume.id} is attached to machine ${volume.attachedTo}`);
        }
        return ok(view(change(volume, { destroyAtMs: volume.destroyAtMs ?? now() + DESTROY_DELAY_MS })));
      },
    },
    {
      operation: "Volumes_extend",
      method: "PUT",
      path: `${one}/extend`,
      access: "app",
      handle: (call) => {
        const body = parseInput(extendBody, call.body);
        const volume = find(call);
        if (body.size_gb < volume.sizeGb)
          throw invalidArgument(`size_gb: volume already has ${volume.sizeGb}`);
        const extended = change(volume, { sizeGb: body.size_gb });
        return ok({ needs_restart: volume.attachedTo !== null, volume: view(extended) });
      },
    },
    {
      operation: "Volumes_list_snapshots",
      method: "GET",
      path: `${one}/snapshots`,
      access: "app",
      handle: (call) => ok(volumes.snapshots(find(call).id).map(snapshotView)),
    },
    {
      operation: "createVolumeSnapshot",
      method: "POST",
      path: `${one}/snapshots`,
      access: "app",
      handle: (call) => {
        const volume = find(call);
        volumes.addSnapshot(volume.id, {
          id: snapshotId(),
          createdAtMs: now(),
          volumeSizeBytes: volume.sizeGb * GIB,
          retentionDays: volume.snapshotRetention,
        });
        return ok();
      },
    },
  ];
}
