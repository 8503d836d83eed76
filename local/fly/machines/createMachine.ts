import { setTimeout as sleep } from "node:timers/promises";
import type { App } from "../apps/appStore.ts";
import {
  FlyError,
  conflict,
  failedPrecondition,
  invalidArgument,
  notFound,
  unprocessable,
} from "../errors.ts";
import { machineId, privateIp, ulid } from "../ids.ts";
import { isRegion } from "../platform/regions.ts";
import type { Image, ImageStore } from "../registry/imageStore.ts";
import type { SecretStore } from "../secrets/secretStore.ts";
import type { Principal } from "../tokens/tokenStore.ts";
import type { VolumeStore } from "../volumes/volumeStore.ts";
import type { AppStore } from "../apps/appStore.ts";
import type { CreateMachine, MachineConfig, UpdateMachine } from "./configSchema.ts";
import { takeLease } from "./leases.ts";
import type { MachineEngine } from "./machineEngine.ts";
import type { MachineStore } from "./machineStore.ts";
import type { MachineRecord } from "./record.ts";

export interface CreateParts {
  apps: AppStore;
  store: MachineStore;
  engine: MachineEngine;
  images: ImageStore;
  volumes: VolumeStore;
  secrets: SecretStore;
  defaultRegion: string;
  transientMs: number;
  nameHoldMs: number;
  now: () => number;
}

/** Creates and updates machines: everything that is checked before one exists or changes. */
export class MachineWriter {
  readonly #parts: CreateParts;

  constructor(parts: CreateParts) {
    this.#parts = parts;
  }

  /** Creates a machine; the row, with its unique name, exists before anything is waited for. */
  async create(app: App, principal: Principal, input: CreateMachine): Promise<MachineRecord> {
    const { store, engine, volumes, defaultRegion, transientMs, now } = this.#parts;
    const id = machineId();
    const region = input.region ?? defaultRegion;
    if (!isRegion(region)) throw invalidArgument(`region: '${region}' is not a region`);
    this.#requireSecrets(app.name, input.min_secrets_version);
    const image = await this.#image(app, principal, input.config.image);
    // Nothing waits from here to the insert, so two creates of one name cannot both pass.
    const name = input.name ?? `machine-${id}`;
    this.#requireFreeName(app.name, name);
    this.#requireVolume(app.name, region, input.config, id);
    const nowMs = now();
    const record: MachineRecord = {
      id,
      app: app.name,
      name,
      region,
      state: "creating",
      instanceId: ulid(nowMs),
      config: input.config,
      imageRef: image.ref,
      privateIp: privateIp(app.numericId),
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      secretsVersion: input.skip_secrets === true ? null : this.#parts.secrets.version(app.name),
      cordoned: false,
      lease: null,
      process: null,
      stop: null,
      restarts: { count: 0, windowStartedAtMs: nowMs },
      destroyedAtMs: null,
    };
    if (input.lease_ttl !== undefined && input.lease_ttl > 0) {
      const owner = principal.tokenId;
      record.lease = takeLease(
        record,
        { ttlSeconds: input.lease_ttl, description: "", owner, nonce: null },
        nowMs,
      );
    }
    store.insert(record);
    for (const mount of input.config.mounts ?? []) volumes.attach(mount.volume, id);
    await sleep(transientMs);
    return engine.created(id, input.skip_launch !== true) ?? record;
  }

  /** Replaces the whole config (there is no partial update). Name and region cannot change. */
  async update(
    app: App,
    principal: Principal,
    record: MachineRecord,
    input: UpdateMachine,
  ): Promise<MachineRecord> {
    const { store, engine, volumes, now } = this.#parts;
    if (input.name !== undefined && input.name !== record.name)
      throw invalidArgument("name: cannot be changed");
    if (input.region !== undefined && input.region !== record.region)
      throw invalidArgument("region: cannot be changed");
    this.#requireSecrets(app.name, input.min_secrets_version);
    const image = await this.#image(app, principal, input.config.image);
    const current = store.find(record.id);
    if (current === null || current.destroyedAtMs !== null) throw notFound("not_found: machine not found");
    if (input.current_version !== undefined && input.current_version !== current.instanceId) {
      throw conflict(
        `aborted: machine version is ${current.instanceId}, current_version is ${input.current_version}`,
      );
    }
    this.#requireVolume(app.name, current.region, input.config, record.id);
    const change = {
      config: input.config,
      imageRef: image.ref,
      instanceId: ulid(now()),
      secretsVersion: input.skip_secrets === true ? null : this.#parts.secrets.version(app.name),
    };
    const updated = engine.update(current, change, input.skip_launch === true);
    if (updated === null) throw notFound("not_found: machine not found");
    store.addVersion(updated);
    volumes.detachFrom(app.name, record.id);
    for (const mount of input.config.mounts ?? []) volumes.attach(mount.volume, record.id);
    return updated;
  }

  #requireSecrets(app: string, minimum: number | undefined): void {
    const version = this.#parts.secrets.version(app);
    if (minimum === undefined || version >= minimum) return;
    throw failedPrecondition(
      `min_secrets_version ${minimum} is not available, secrets are at version ${version}`,
    );
  }

  #requireFreeName(app: string, name: string): void {
    const holder = this.#parts.store.findByName(app, name, this.#parts.now() - this.#parts.nameHoldMs);
    if (holder === null) return;
    throw conflict(
      `already_exists: unique machine name violation, machine ID ${holder.id} already exists with name "${name}"`,
    );
  }

  #requireVolume(app: string, region: string, config: MachineConfig, machine: string): void {
    const mounts = config.mounts ?? [];
    if (mounts.length > 1) throw unprocessable("only 1 volume supported");
    const [mount] = mounts;
    if (mount === undefined) return;
    const volume = this.#parts.volumes.find(mount.volume);
    if (volume === null || volume.app !== app || volume.destroyAtMs !== null)
      throw notFound(`volume ${mount.volume} not found`);
    if (volume.region !== region)
      throw invalidArgument(`volume ${volume.id} is in region ${volume.region}, not ${region}`);
    if (volume.attachedTo !== null && volume.attachedTo !== machine) {
      throw failedPrecondition(`volume ${volume.id} is already attached to machine ${volume.attachedTo}`);
    }
  }

  /** Fly pulls within the organization; that an app's own token may pull another app's image is not documented. */
  async #image(app: App, principal: Principal, text: string): Promise<Image> {
    const { images, apps } = this.#parts;
    const missing = notFound(`Could not find image "${text}"`);
    const reference = images.parse(text);
    if (reference === null) throw missing;
    const owner = apps.find(reference.repository);
    const reachable = principal.kind === "app" ? owner?.name === app.name : owner?.org === app.org;
    if (owner !== null && !reachable)
      throw new FlyError(403, `token does not cover the image's app ${owner.name}`);
    const image = await images.resolve(reference);
    if (image === null) throw missing;
    return image;
  }
}
