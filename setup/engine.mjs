// The Pulumi engine, by the first way that works: there already, downloaded, built from its Go module.
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

import { runChild, tail } from "./child.mjs";
import { SetupError, say, step } from "./progress.mjs";
import { enginePath, engineVersion, isExecutable, root } from "./pulumi.mjs";
import { withLock } from "./lock.mjs";

const downloadHost = "https://get.pulumi.com";
const probeTimeoutMs = 10_000;
const downloadTimeoutMs = 10 * 60 * 1_000;
const buildTimeoutMs = 30 * 60 * 1_000;
const name = "pulumi engine";

/** How many packages the build compiles, roughly: only for the progress line. */
const packagesToCompile = 1_700;

/** Makes sure that the engine runs; returns its path. */
export async function ensureEngine() {
  const path = enginePath();
  if (isExecutable(path)) {
    await verify(path);
    return path;
  }
  const folder = dirname(dirname(path));
  const onWait = (/** @type {number} */ pid) =>
    say("…", name, `another set-up (process ${pid}) is getting it: waiting`);
  await withLock(`${folder}.lock`, onWait, async () => {
    if (!isExecutable(path)) await obtain(path);
  });
  await verify(path);
  return path;
}

/** @param {string} path */
async function obtain(path) {
  const refusal = await probe(downloadHost);
  if (refusal === undefined) {
    const failure = await step(name, `downloading ${engineVersion()}`, () => download(path));
    if (failure === undefined) return;
    say("!", name, `the download failed (${failure}); building it instead`);
  } else {
    say("!", name, `${downloadHost} is out of reach (${refusal}); building it from its Go module instead`);
  }
  const go = await goVersion();
  if (go === undefined) {
    throw new SetupError(
      `The Pulumi engine ${engineVersion()} can neither be downloaded (${downloadHost} is out of reach) nor built (Go is not on PATH). ` +
        `Do one of these, then run this again:\n` +
        `      - open the way to ${downloadHost} (proxy: HTTPS_PROXY)\n` +
        `      - install Go 1.21 or newer (https://go.dev/dl); the build takes 4 to 6 minutes on two cores, once\n` +
        `      - put the pulumi program of version ${engineVersion()} at ${shown(path)}`,
    );
  }
  await step(name, `building ${engineVersion()} with ${go}: 4 to 6 minutes on two cores, once`, (detail) =>
    build(path, detail),
  );
}

/** Why the host cannot be reached, or undefined when it can. @param {string} url */
export async function probe(url) {
  try {
    const response = await fetch(`${url}/install.sh`, {
      method: "HEAD",
      signal: AbortSignal.timeout(probeTimeoutMs),
    });
    return response.ok ? undefined : `HTTP ${response.status}`;
  } catch (error) {
    const cause = /** @type {{ cause?: { code?: string } }} */ (error).cause;
    return cause?.code ?? /** @type {Error} */ (error).name;
  }
}

/** The npm package `pulumi` downloads the engine and its language hosts when asked to run. @param {string} path */
async function download(path) {
  const script = join(root, "node_modules", "pulumi", "run.js");
  const env = { ...process.env, PULUMI_VERSION: engineVersion(), PULUMI_SKIP_UPDATE_CHECK: "true" };
  const { code, output, timedOut } = await runChild(process.execPath, [script, "version"], {
    env,
    timeoutMs: downloadTimeoutMs,
  });
  if (code === 0 && isExecutable(path)) {
    return { text: `${engineVersion()} downloaded to ${shown(path)}`, value: undefined };
  }
  rmSync(path, { force: true });
  const reason = timedOut ? "took too long" : (output.trim().split("\n").at(-1) ?? `exit ${code}`);
  return { text: "not downloaded", value: reason };
}

async function goVersion() {
  const { code, output } = await runChild("go", ["env", "GOVERSION"], { timeoutMs: 20_000 });
  return code === 0 ? output.trim().replace(/^go/, "Go ") : undefined;
}

/** @param {string} path @param {(text: string) => void} detail */
async function build(path, detail) {
  mkdirSync(dirname(path), { recursive: true });
  // Beside its final place, so that the rename is atomic: a killed build leaves nothing that looks like an engine.
  const aside = `${path}.building.${process.pid}`;
  const version = `github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${engineVersion()}`;
  const args = ["build", "-v", "-mod=readonly", "-trimpath", "-ldflags", `-s -w -X ${version}`, "-o", aside];
  let compiled = 0;
  let fetched = 0;
  const onLine = (/** @type {string} */ line) => {
    if (line.startsWith("go: downloading")) fetched += 1;
    else compiled += 1;
    detail(
      compiled === 0
        ? `${fetched} modules fetched`
        : `${compiled} of about ${packagesToCompile} packages compiled`,
    );
  };
  try {
    const { code, output, timedOut } = await runChild(
      "go",
      [...args, "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
      {
        cwd: join(root, "setup", "engine"),
        timeoutMs: buildTimeoutMs,
        onLine,
      },
    );
    if (code !== 0) {
      const reason = timedOut ? `did not end within ${buildTimeoutMs / 60_000} minutes` : "failed";
      throw new SetupError(
        `Building the Pulumi engine ${reason}. It needs the Go module proxy (go env GOPROXY) and about 4 GB of disk. Or put the pulumi program of version ${engineVersion()} at ${shown(path)}.\n${tail(output)}`,
      );
    }
    renameSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
  return { text: `${engineVersion()} built into ${shown(path)}`, value: undefined };
}

/** @param {string} path */
async function verify(path) {
  const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" };
  const { code, output } = await runChild(path, ["version"], { env, timeoutMs: 60_000 });
  const found = output.trim().replace(/^v/, "");
  if (code === 0 && found === engineVersion()) return;
  throw new SetupError(
    `${shown(path)} is not a working Pulumi ${engineVersion()} (it answered: ${found.slice(0, 200) || `exit ${code}`}). Delete ${shown(dirname(dirname(path)))} and run this again.`,
  );
}

/** A path with the home folder as ~. @param {string} path */
export function shown(path) {
  return path.startsWith(homedir()) ? `~${path.slice(homedir().length)}` : path;
}

/** Whether the engine came with its language hosts. @param {string} path */
export function cameWithLanguageHost(path) {
  return existsSync(join(dirname(path), "pulumi-language-nodejs"));
}
