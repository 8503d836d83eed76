// How to run Pulumi here: which engine, with which environment. Plain JavaScript, since the set-up uses it from
// a bare clone too; its types are in pulumi.d.mts.
import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Version of the engine: the pin of the npm package `pulumi`, so that a downloaded and a built engine are the same. */
export function engineVersion() {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  return manifest.devDependencies.pulumi;
}

/** Where the engine is, or will be: the very place from which the npm package `pulumi` runs it. */
export function enginePath(env = process.env) {
  const name = process.platform === "win32" ? "pulumi.exe" : "pulumi";
  return join(pulumiHome(env), "versions", engineVersion(), "bin", name);
}

export function pulumiHome(env = process.env) {
  return env.PULUMI_HOME || join(homedir(), ".pulumi");
}

/** The programs that come from Pulumi's own hosts, each with the stand-in that serves where these are out of reach. */
export const hostedPrograms = [
  { kind: "language", name: "nodejs", file: "pulumi-language-nodejs", folder: "language" },
  { kind: "resource", name: "random", file: "pulumi-resource-random", folder: "random" },
  { kind: "resource", name: "command", file: "pulumi-resource-command", folder: "command" },
];

/** Folders of the stand-ins that are needed because the real program is not installed. */
export function standinsInUse(env = process.env) {
  const missing = hostedPrograms.filter((program) => !isInstalled(program, env));
  const folders = missing.map((program) => join(root, "setup", "standins", program.folder));
  // Dynamic providers are served by a script in Pulumi's SDK; a downloaded engine brings it, beside the language host.
  const dynamic = missing.some((program) => program.kind === "language");
  return dynamic ? [...folders, join(root, "node_modules", "@pulumi", "pulumi")] : folders;
}

/** Whether the real program is installed: a language host beside the engine, a plugin in Pulumi's plugin folder. */
export function isInstalled({ kind, name, file }, env = process.env) {
  if (kind === "language") return isExecutable(join(dirname(enginePath(env)), file));
  const folder = join(pulumiHome(env), "plugins");
  const version = pluginVersion(name);
  return existsSync(folder) && readdirSync(folder).includes(`${kind}-${name}-v${version}`);
}

/** Version of a plugin: that of its SDK, as the engine asks for it. */
export function pluginVersion(name) {
  const manifest = join(root, "node_modules", "@pulumi", name, "package.json");
  return JSON.parse(readFileSync(manifest, "utf8")).version.replace(/^v/, "");
}

export function pulumi(extra = {}, base = process.env) {
  const command = enginePath(base);
  if (!isExecutable(command)) {
    throw new Error(
      `Pulumi ${engineVersion()} is not set up (${command} is missing). Run: node setup/main.mjs`,
    );
  }
  const standins = standinsInUse(base);
  const path = [
    join(root, "node_modules", ".bin"),
    ...standins,
    dirname(command),
    extra.PATH ?? base.PATH ?? "",
  ];
  return {
    command,
    standins,
    env: {
      ...base,
      PULUMI_HOME: pulumiHome(base),
      PULUMI_VERSION: engineVersion(),
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // With stand-ins there is nothing to fetch: fail at once instead of trying hosts that are out of reach.
      ...(standins.length > 0 ? { PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true" } : {}),
      // Types are checked by `npm run types`, not again in every update.
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
      ...extra,
      PATH: path.join(delimiter),
    },
  };
}

export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).size > 0;
  } catch {
    return false;
  }
}
