// Makes a bare clone ready: dependencies, Node, the Pulumi engine and its plugins. Safe to run again at any time,
// by several processes at once. Plain JavaScript for Node 20's built-ins, since it runs before anything is installed.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { ensureDependencies } from "./dependencies.mjs";
import { ensureEngine } from "./engine.mjs";
import { withLock } from "./lock.mjs";
import { ensurePlugins } from "./plugins.mjs";
import { duration, say, SetupError } from "./progress.mjs";
import { enginePath, engineVersion, isExecutable, root, standinsInUse } from "./pulumi.mjs";

const stampPath = join(root, "node_modules", ".cache", "agent-factory", "setup.json");
const lockPath = join(root, ".local", "setup.lock");

/** @typedef {{ key: string, node: string, standins: string[] }} Stamp */

export async function setUp() {
  const start = performance.now();
  refuseUnfit();
  const done = readStamp();
  if (done !== undefined) return report(done, "up to date", start);

  process.stdout.write("Set-up of Agent Factory\n");
  const onWait = (/** @type {number} */ pid) => say("…", "set-up", `process ${pid} is setting up: waiting`);
  const stamp = await withLock(lockPath, onWait, async () => {
    const other = readStamp();
    if (other !== undefined) return other;
    const node = await ensureDependencies();
    say("✓", "node", `${node}, from the npm package "node": every npm script runs on it`);
    const engine = await ensureEngine();
    say("✓", "pulumi engine", `${engineVersion()} at ${engine}`);
    const standins = await ensurePlugins();
    return writeStamp({ key: stampKey(), node, standins });
  });
  return report(stamp, "done", start);
}

/** @param {Stamp} stamp @param {string} outcome @param {number} start */
function report({ node, standins }, outcome, start) {
  const own = standins.length === 0 ? "with its own plugins" : "with stand-ins for its hosted plugins";
  process.stdout.write(
    `Set-up ${outcome}: Node ${node}, Pulumi ${engineVersion()} ${own} (${duration(performance.now() - start)})\n`,
  );
}

function refuseUnfit() {
  if (process.platform === "win32") {
    throw new SetupError(
      "Windows is served through WSL: open this folder in a WSL shell and run the command there.",
    );
  }
  const [major = 0] = process.versions.node.split(".").map(Number);
  if (major < 20) {
    throw new SetupError(
      `Node ${process.versions.node} is too old to set up: install Node 20 or newer (https://nodejs.org); the right version for running is then fetched by itself.`,
    );
  }
}

/** The stamp of an earlier set-up, if all it stands for still holds. @returns {Stamp | undefined} */
function readStamp() {
  try {
    /** @type {Stamp} */
    const stamp = JSON.parse(readFileSync(stampPath, "utf8"));
    const holds = isExecutable(join(root, "node_modules", ".bin", "node")) && stamp.key === stampKey();
    return holds ? stamp : undefined;
  } catch {
    return undefined; // none yet, one cut short, or packages gone: the steps find out what is there
  }
}

/** @param {Stamp} stamp */
function writeStamp(stamp) {
  mkdirSync(dirname(stampPath), { recursive: true });
  writeFileSync(stampPath, `${JSON.stringify(stamp, null, 2)}\n`);
  return stamp;
}

/** Everything whose change makes a new set-up necessary: lockfile, install, platform, engine, plugins. */
function stampKey() {
  const hash = createHash("sha256");
  hash.update(readFileSync(join(root, "package-lock.json")));
  hash.update(JSON.stringify([process.platform, process.arch, enginePath(), standinsInUse()]));
  for (const path of [join(root, "node_modules", ".package-lock.json"), enginePath()]) {
    const found = statSync(path, { throwIfNoEntry: false });
    hash.update(JSON.stringify([found?.size, found?.mtimeMs]));
  }
  return hash.digest("hex");
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    await setUp();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`\nSet-up failed: ${error.message}\n`);
    process.exitCode = 1;
  }
}
