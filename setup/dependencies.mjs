import { existsSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";

import { runChild, tail } from "./child.mjs";
import { SetupError, step } from "./progress.mjs";
import { isExecutable, root } from "./pulumi.mjs";

/** Oldest Node that the agent's engine runs on. */
export const nodeFloor = "24.16.0";
const installTimeoutMs = 20 * 60 * 1_000;

/** Packages whose install scripts fetch or unpack what the project runs; those of the others stay unrun. */
const scriptedPackages = ["esbuild", "koffi", "openclaw", "protobufjs"];

/** Brings node_modules to what package-lock.json says, and proves the Node in it. Returns that Node's version. */
export async function ensureDependencies() {
  const installed = installedAsLocked();
  if (!installed) await step("dependencies", "npm ci: packages as locked, a minute or two", installPackages);
  const version = await ensureNode();
  if (!installed) await step("dependencies", "install scripts, run by that Node", runInstallScripts);
  return version;
}

/** Without install scripts: some of them refuse the older Node that may be all the machine has. */
async function installPackages() {
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--include=dev", "--prefer-offline"];
  const { code, output, timedOut } = await npm(args);
  if (code === 0) return { text: `${installedPackages()} packages as locked`, value: undefined };
  const reason = timedOut
    ? `npm ci did not end within ${installTimeoutMs / 60_000} minutes`
    : "npm ci failed";
  throw new SetupError(
    `${reason}. Check that the npm registry is reachable (npm ping) and that package.json and package-lock.json belong together, then run this again.\n${tail(withoutWarnings(output))}`,
  );
}

/** The Node of the npm package `node`, whose install script fetches the build for this platform. */
async function ensureNode() {
  const version =
    (await nodeVersion()) ??
    (await step("node", 'fetching it: npm package "node"', async () => {
      const { output } = await npm(["rebuild", "node", "--ignore-scripts=false"]);
      const fetched = await nodeVersion();
      if (fetched !== undefined) return { text: fetched, value: fetched };
      throw new SetupError(
        `The npm package "node" brought no Node that runs on ${process.platform}-${process.arch}. ` +
          `Install Node ${nodeFloor} or newer (https://nodejs.org) and link it as node_modules/.bin/node, then run this again.\n${tail(withoutWarnings(output))}`,
      );
    }));
  if (compareVersions(version, nodeFloor) >= 0) return version;
  throw new SetupError(
    `node_modules/.bin/node is ${version}; ${nodeFloor} or newer is needed. Delete node_modules and run this again.`,
  );
}

async function runInstallScripts() {
  const { code, output } = await npm(["rebuild", ...scriptedPackages, "--ignore-scripts=false"]);
  if (code === 0) return { text: scriptedPackages.join(", "), value: undefined };
  // Else the next run would take the packages for installed and never come back here.
  rmSync(hiddenLock(root), { force: true });
  throw new SetupError(
    `The install scripts of ${scriptedPackages.join(", ")} failed.\n${tail(withoutWarnings(output))}`,
  );
}

/** npm of the machine (when npm runs us, the very same one), on the project's Node as soon as that is there. @param {string[]} args */
async function npm(args) {
  const bin = join(root, "node_modules", ".bin");
  const ownNode = isExecutable(join(bin, "node"));
  const script = process.env.npm_execpath;
  const [command, first] = script?.endsWith(".js")
    ? [ownNode ? join(bin, "node") : process.execPath, [script]]
    : ["npm", []];
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
  const result = await runChild(command, [...first, ...args], {
    cwd: root,
    env,
    timeoutMs: installTimeoutMs,
  });
  if (result.code === null && result.output.includes("ENOENT")) {
    throw new SetupError("npm is not on PATH. Install Node 20 or newer with npm: https://nodejs.org");
  }
  return result;
}

/** npm's warnings (about the older Node, say) would push the error itself out of sight. @param {string} output */
function withoutWarnings(output) {
  return output
    .split("\n")
    .filter((line) => !/^npm (warn|notice)/.test(line))
    .join("\n");
}

/** @typedef {Record<string, { version?: string, link?: boolean, optional?: boolean, integrity?: string }>} LockedPackages */

/** Whether node_modules holds every package of the lockfile in its version; other platforms' packages may be missing. */
export function installedAsLocked(folder = root) {
  const installed = readLock(hiddenLock(folder));
  const locked = readLock(join(folder, "package-lock.json"));
  return installed !== undefined && locked !== undefined && sameTree(locked, installed);
}

/** @param {LockedPackages} locked @param {LockedPackages} installed */
export function sameTree(locked, installed) {
  const wanted = Object.entries(locked).filter(([path]) => path.includes("node_modules/"));
  const complete = wanted.every(([path, entry]) => {
    const present = installed[path];
    if (present === undefined) return entry.optional === true;
    return entry.link === present.link && entry.integrity === present.integrity;
  });
  const known = Object.keys(installed).every((path) => locked[path] !== undefined);
  return complete && known;
}

/** npm's own record of what it put into node_modules. @param {string} folder */
function hiddenLock(folder) {
  return join(folder, "node_modules", ".package-lock.json");
}

function installedPackages() {
  return Object.keys(readLock(hiddenLock(root)) ?? {}).length;
}

/** @param {string} path @returns {LockedPackages | undefined} */
function readLock(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
}

async function nodeVersion() {
  const node = join(root, "node_modules", ".bin", "node");
  if (!isExecutable(node)) return undefined;
  const { code, output } = await runChild(node, ["-v"], { timeoutMs: 20_000 });
  return code === 0 ? output.trim().replace(/^v/, "") : undefined;
}

/** Negative, 0 or positive, as `left` is older, equal or newer. @param {string} left @param {string} right */
export function compareVersions(left, right) {
  const [a, b] = [left, right].map((version) => version.split(".").map(Number));
  for (const index of [0, 1, 2]) {
    const difference = (a?.[index] ?? 0) - (b?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
