import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Hono } from "hono";
import { appRoutes } from "./apps/appRoutes.ts";
import { AppStore } from "./apps/appStore.ts";
import { parseInput } from "./errors.ts";
import { FaultBook, faultRulesSchema } from "./faults/faultBook.ts";
import { mountGraphql } from "./graphql/graphqlApi.ts";
import { mountApi } from "./http/api.ts";
import { type Env, Gateway } from "./http/gateway.ts";
import { hostGuard } from "./http/hostGuard.ts";
import { listen } from "./http/listen.ts";
import { newToken } from "./ids.ts";
import { MachineWriter } from "./machines/createMachine.ts";
import { MachineFolders } from "./machines/folders.ts";
import { leaseRoutes } from "./machines/leaseRoutes.ts";
import { MachineAccess } from "./machines/machineAccess.ts";
import { MachineEngine } from "./machines/machineEngine.ts";
import { machineRoutes } from "./machines/machineRoutes.ts";
import { MachineStore } from "./machines/machineStore.ts";
import { metadataRoutes } from "./machines/metadataRoutes.ts";
import { UsageBook } from "./machines/usage.ts";
import { waitRoute } from "./machines/waitRoute.ts";
import { CallCounts } from "./observe/callCounts.ts";
import { mountLocal } from "./observe/localApi.ts";
import { startHousekeeping } from "./observe/housekeeping.ts";
import { defaultOptions, type FlyOptions } from "./options.ts";
import { platformRoutes } from "./platform/platformRoutes.ts";
import { BlobStore } from "./registry/blobStore.ts";
import { ImageStore } from "./registry/imageStore.ts";
import { LayerStore } from "./registry/layerStore.ts";
import { ManifestStore } from "./registry/manifestStore.ts";
import { mountRegistry } from "./registry/registryApi.ts";
import { secretRoutes } from "./secrets/secretRoutes.ts";
import { SecretStore } from "./secrets/secretStore.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { tokenRoutes } from "./tokens/tokenRoutes.ts";
import { TokenStore } from "./tokens/tokenStore.ts";
import { volumeRoutes } from "./volumes/volumeRoutes.ts";
import { VolumeStore } from "./volumes/volumeStore.ts";

/** How long running machines get to stop when the emulator is stopped cleanly. */
const CLOSE_GRACE_MS = 3_000;

export interface Fly {
  /** Base of the Machines API, without `/v1`. */
  url: string;
  registryUrl: string;
  /** Host and port for image references and registry logins. */
  registryHost: string;
  graphqlUrl: string;
  /** Token of the first organization, with its `FlyV1` scheme. */
  orgToken: string;
  orgTokenFile: string;
  /** Tokens of the other organizations, by slug. */
  orgTokens: Record<string, string>;
  close: () => Promise<void>;
}

/** Starts the emulator; everything it knew before a stop, clean or not, is there again. */
export async function startFly(given: Partial<FlyOptions> & Pick<FlyOptions, "stateDir">): Promise<Fly> {
  const options: FlyOptions = { ...defaultOptions, ...given };
  const { stateDir, now, log, transientMs } = options;
  const rules = parseInput(faultRulesSchema, options.faults);
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  // Made before SQLite opens it: the journal files beside it inherit the mode.
  await writeFile(join(stateDir, "fly.db"), "", { flag: "a", mode: 0o600 });
  const database = openDatabase(join(stateDir, "fly.db"));

  const apps = new AppStore(database);
  const tokens = new TokenStore(database, now);
  const secrets = new SecretStore(database, digestKey(database));
  const volumes = new VolumeStore(database, join(stateDir, "volumes"));
  const store = new MachineStore(database);
  const usage = new UsageBook(database);
  const blobs = new BlobStore(join(stateDir, "registry"), database);
  const layers = new LayerStore(join(stateDir, "images"), blobs);
  const manifests = new ManifestStore(database);
  const images = new ImageStore(blobs, manifests, layers);
  const folders = new MachineFolders(join(stateDir, "machines"), volumes, secrets);
  const engine = new MachineEngine({
    store,
    usage,
    folders,
    images,
    volumes,
    secrets,
    transientMs,
    now,
    log,
  });
  await blobs.prepare();
  await layers.prepare();
  await folders.collect(store.ids());
  // Running machines link into unpacked layers, so these are collected only when none runs.
  if (store.live().length === 0) await layers.collect(blobs.linked());

  const faults = new FaultBook();
  faults.add(rules);
  const counts = new CallCounts(database);
  const gateway = new Gateway(faults, counts, now, options.defaultRegion);
  const access = new MachineAccess(store, now, options.destroyedVisibleMs);
  const writer = new MachineWriter({ ...options, apps, store, engine, images, volumes, secrets });
  const clear = async (app: string): Promise<void> => {
    for (const record of store.listOfApp(app)) {
      if (record.destroyedAtMs === null) engine.destroy(record, true);
    }
    for (const record of store.listOfApp(app)) {
      await engine.destroyed(record.id);
      await folders.remove(record.id);
    }
    for (const volume of volumes.list(app)) await volumes.removeFolder(volume.id);
  };
  const routes = [
    ...appRoutes({
      apps,
      countMachines: (app) => store.countLive(app),
      countVolumes: (app) => volumes.list(app).length,
      clear,
      organizations: options.organizations,
      now,
    }),
    ...tokenRoutes(tokens, apps, now),
    ...secretRoutes(secrets, now),
    ...volumeRoutes(volumes, options.defaultRegion, now),
    ...platformRoutes(options.defaultRegion),
    ...machineRoutes({ ...options, apps, store, engine, writer, access }),
    waitRoute(store, engine, access),
    ...leaseRoutes(engine, access, now),
    ...metadataRoutes(engine, access),
  ];

  const api = new Hono<Env>();
  api.use(hostGuard);
  api.route("/", mountLocal({ apps, store, folders, usage, counts, faults, now }));
  api.route("/", mountGraphql({ apps, tokens, gateway, now, log }));
  api.route("/", mountApi(routes, { apps, tokens, gateway, rateLimit: options.rateLimit, now, log }));
  const registry = new Hono<Env>();
  registry.use(hostGuard);
  registry.route("/", mountRegistry({ apps, tokens, blobs, manifests, images, gateway, now, log }));

  const [orgToken = "", ...others] = await organizationTokens(options, tokens);
  const registryListener = await listen(registry, options.registryPort, "--registry-port");
  images.setOwnHost(registryListener.host);
  const apiListener = await listen(api, options.port, "--port").catch(async (error: unknown) => {
    await registryListener.close();
    throw error;
  });
  engine.recover();
  const stopHousekeeping = startHousekeeping({ apps, secrets, usage, store, folders, volumes, now, log });

  return {
    url: `http://${apiListener.host}`,
    registryUrl: `http://${registryListener.host}`,
    registryHost: registryListener.host,
    graphqlUrl: `http://${apiListener.host}/graphql`,
    orgToken,
    orgTokenFile: tokenFile(options, 0),
    orgTokens: Object.fromEntries(others.map((token, i) => [options.organizations[i + 1] ?? "", token])),
    close: async () => {
      stopHousekeeping();
      await Promise.all([apiListener.close(), registryListener.close()]);
      await engine.close(options.onClose, CLOSE_GRACE_MS);
      database.close();
    },
  };
}

/** Key of the secrets' digests: made once, so digests stay comparable over restarts. */
function digestKey(database: Database): string {
  const row = database.prepare("SELECT value FROM meta WHERE key = 'digestKey'").get();
  if (row !== undefined) return row["value"] as string;
  const key = randomBytes(32).toString("hex");
  database.prepare("INSERT INTO meta (key, value) VALUES ('digestKey', ?)").run(key);
  return key;
}

function tokenFile(options: FlyOptions, index: number): string {
  const suffix = index === 0 ? "" : `-${options.organizations[index]}`;
  return join(options.stateDir, `org-token${suffix}`);
}

/** One token per organization, made at the first start and kept in a file only its owner can read. */
async function organizationTokens(options: FlyOptions, tokens: TokenStore): Promise<string[]> {
  const result: string[] = [];
  for (const [index, org] of options.organizations.entries()) {
    const file = tokenFile(options, index);
    const saved = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    const token = saved?.trim() || newToken();
    if (saved === null) {
      await writeFile(`${file}.new`, `${token}\n`, { mode: 0o600 });
      await rename(`${file}.new`, file);
    }
    tokens.register({ name: "organization token", org, app: null, expiresAtMs: null }, token);
    result.push(token);
  }
  return result;
}
