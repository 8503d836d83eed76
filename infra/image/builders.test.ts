import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import type { BuildJob } from "./buildJob.ts";
import { ensureImage, imageTag } from "./ensureImage.ts";
import { RegistryClient } from "./registry.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const HASH = "a".repeat(64);
const CREDENTIALS = { CONVEX_TEAM_TOKEN: "canary-convex", PULUMI_CONFIG_PASSPHRASE: "canary-passphrase" };

interface Recorded {
  args: string[];
  env: Record<string, string>;
  stdin: string;
  cwd: string;
  dockerConfig: {
    auths: Record<string, { auth: string }>;
    currentContext?: string;
    credsStore?: string;
  } | null;
}

let fly: Fly;
let folder: string;
let bin: string;
let ownPath: string;
let lines: string[];
let count = 0;
let app: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infra-builders-"));
  fly = await startFly({ stateDir: join(folder, "fly"), rateLimit: false });
  ownPath = process.env["PATH"] ?? "";
});
afterAll(async () => {
  await fly.close();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  count += 1;
  app = `af-build-${count}`;
  lines = [];
  bin = join(folder, `bin-${count}`);
  await mkdir(bin);
  // Only what the stand-ins themselves need: this machine's own docker or flyctl must not be found.
  await symlink(process.execPath, join(bin, "node"));
  process.env["PATH"] = [bin, "/usr/bin", "/bin"].join(delimiter);
  process.env["DOCKER_CONFIG"] = join(folder, `docker-${count}`);
  Object.assign(process.env, CREDENTIALS);
  const answer = await fetch(`${fly.url}/v1/apps`, {
    method: "POST",
    headers: { authorization: fly.orgToken, "content-type": "application/json" },
    body: JSON.stringify({ name: app, org_slug: "personal", network: "af-n" }),
  });
  if (answer.status !== 201) throw new Error(`the app was not made: ${answer.status}`);
});
afterEach(() => {
  process.env["PATH"] = ownPath;
  for (const name of ["DOCKER_CONFIG", ...Object.keys(CREDENTIALS)]) delete process.env[name];
});

/** Puts a recording stand-in on PATH; returns how to read what it recorded. */
async function standIn(
  command: string,
  script: { lines?: string[]; exitCode?: number; pushes?: boolean } = {},
): Promise<() => Promise<Recorded>> {
  const record = join(bin, "record.json");
  const file = join(bin, command);
  await copyFile(join(ROOT, "infra/testing/toolStandIn.mjs"), `${file}.mjs`);
  await writeFile(file, `#!/bin/sh\nexec node "${file}.mjs" "$@"\n`);
  await chmod(file, 0o755);
  const full = { lines: [], exitCode: 0, pushes: true, registryUrl: fly.registryUrl, record, ...script };
  await writeFile(`${file}.mjs.json`, JSON.stringify(full));
  return async () => JSON.parse(await readFile(record, "utf8")) as Recorded;
}

function job(overrides: Partial<BuildJob> = {}): BuildJob {
  return {
    root: ROOT,
    app,
    tag: HASH,
    platform: "linux/amd64",
    cache: null,
    sourceRevision: "c0ffee",
    token: fly.orgToken,
    registry: new RegistryClient(fly.registryUrl, fly.orgToken),
    progress: (line) => lines.push(line),
    ...overrides,
  };
}

const bareToken = (): string => fly.orgToken.replace("FlyV1 ", "");

describe("builder flyRemote", () => {
  it("calls flyctl with exactly these arguments, the token in its environment and nothing else's", async () => {
    const recorded = await standIn("flyctl");
    const image = await ensureImage("flyRemote", job());
    const { args, env, stdin, cwd } = await recorded();
    expect(args).toEqual([
      "deploy",
      ROOT,
      "--app",
      app,
      "--config",
      join(ROOT, "runtime/worker/fly.toml"),
      "--dockerfile",
      join(ROOT, "runtime/worker/Dockerfile"),
      "--image-label",
      HASH,
      "--build-arg",
      "SOURCE_REVISION=c0ffee",
      "--build-only",
      "--push",
      "--remote-only",
      "--depot=false",
    ]);
    expect(`${cwd}/`).toBe(ROOT);
    expect(stdin).toBe("");
    expect(env["FLY_API_TOKEN"]).toBe(fly.orgToken);
    expect(JSON.stringify(env)).not.toContain("canary-");
    const digest = await new RegistryClient(fly.registryUrl, fly.orgToken).digestOf(app, HASH);
    expect(image).toBe(`${fly.registryHost}/${app}@${digest}`);
  });

  it("takes the digest from the registry, whatever the log says", async () => {
    const lie = `pushing manifest for registry.fly.io/x@sha256:${"f".repeat(64)}`;
    await standIn("flyctl", { lines: [lie] });
    expect(await ensureImage("flyRemote", job())).not.toContain("f".repeat(64));
    expect(lines).toContain(lie);
  });

  it("asks the registry first, and builds nothing that is there", async () => {
    await standIn("flyctl");
    const first = await ensureImage("flyRemote", job());
    const again = await standIn("flyctl", { exitCode: 9 });
    await rm(join(bin, "record.json"));
    expect(await ensureImage("flyRemote", job())).toBe(first);
    await expect(again()).rejects.toThrow("ENOENT");
    expect(lines.at(-1)).toContain("nothing to build");
  });

  it("says so when the build ends and nothing has arrived", async () => {
    await standIn("flyctl", { pushes: false });
    await expect(ensureImage("flyRemote", job())).rejects.toThrow(
      `The build ended, but the registry has no ${app}:${HASH}. Run \`pulumi up\` again.`,
    );
  });

  it("fails with the last lines and what to run next, without a token that the tool printed", async () => {
    const printed = Array.from({ length: 40 }, (_, index) => `step ${index}`);
    await standIn("flyctl", {
      lines: [...printed, `npm ERR! token ${bareToken()}`],
      exitCode: 3,
      pushes: false,
    });
    const error = await ensureImage("flyRemote", job()).catch((reason: Error) => reason);
    const { message } = error as Error;
    expect(message).toMatch(/^flyctl failed \(exit code 3\):\nstep 26\n[\s\S]*npm ERR! token \[redacted\]\n/);
    expect(message).toContain("run `pulumi up` again");
    expect(message).not.toContain("step 25\n");
    expect(lines.join("\n")).not.toContain(bareToken());
  });

  it("names the way to install flyctl when it is missing", async () => {
    await expect(ensureImage("flyRemote", job())).rejects.toThrow(
      "flyctl is not installed or not on PATH. Install it (https://fly.io/docs/flyctl/install)",
    );
  });
});

describe("builder docker", () => {
  it("calls buildx with exactly these arguments: provenance, SBOM, one platform, pushed", async () => {
    const recorded = await standIn("docker");
    await ensureImage("docker", job({ platform: "linux/arm64", cache: "type=gha" }));
    const { args, env, stdin } = await recorded();
    expect(args).toEqual([
      "buildx",
      "build",
      "--platform",
      "linux/arm64",
      "--file",
      join(ROOT, "runtime/worker/Dockerfile"),
      "--tag",
      `${fly.registryHost}/${app}:${HASH}`,
      "--label",
      `org.opencontainers.image.version=${HASH}`,
      "--build-arg",
      "SOURCE_REVISION=c0ffee",
      "--provenance=mode=max",
      "--sbom=true",
      "--progress=plain",
      "--cache-from",
      "type=gha",
      "--cache-to",
      "type=gha,mode=max",
      "--push",
      ROOT,
    ]);
    expect(args.join(" ")).not.toContain(bareToken());
    expect(JSON.stringify(env)).not.toContain(bareToken());
    expect(stdin).toBe("");
  });

  it("logs in for this build alone, beside the person's own settings, and leaves nothing behind", async () => {
    const own = process.env["DOCKER_CONFIG"] ?? "";
    await mkdir(join(own, "contexts"), { recursive: true });
    const settings = {
      currentContext: "desktop",
      credsStore: "keychain",
      auths: { "ghcr.io": { auth: "b3duOmxvZ2lu" } },
    };
    await writeFile(join(own, "config.json"), JSON.stringify(settings));
    const recorded = await standIn("docker");
    await ensureImage("docker", job());
    const { dockerConfig, env } = await recorded();
    expect(dockerConfig).toEqual({
      currentContext: "desktop",
      auths: {
        "ghcr.io": { auth: "b3duOmxvZ2lu" },
        [fly.registryHost]: { auth: Buffer.from(`x:${bareToken()}`).toString("base64") },
      },
    });
    expect(await readFile(join(own, "config.json"), "utf8")).toBe(JSON.stringify(settings));
    const used = env["DOCKER_CONFIG"] ?? "";
    expect(await readdir(dirname(used))).not.toContain(used.split("/").at(-1));
  });

  it("removes its login when the build fails, and says what to check", async () => {
    const recorded = await standIn("docker", { lines: ["ERROR: no builder"], exitCode: 1, pushes: false });
    await expect(ensureImage("docker", job())).rejects.toThrow(
      /^docker failed \(exit code 1\):\nERROR: no builder\nCorrect .*`docker buildx version` must work/,
    );
    const used = (await recorded()).env["DOCKER_CONFIG"] ?? "";
    await expect(readdir(used)).rejects.toThrow("ENOENT");
  });

  it("names the way on when docker is missing", async () => {
    await expect(ensureImage("docker", job())).rejects.toThrow(
      "docker is not installed or not on PATH. Install Docker with buildx, or set agent-factory:image.builder to flyRemote.",
    );
  });

  it("keeps images of different platforms apart", () => {
    expect(imageTag(HASH, "linux/amd64")).toBe(HASH);
    expect(imageTag(HASH, "linux/arm64/v8")).toBe(`${HASH}-linux-arm64-v8`);
  });
});

describe("the command that a stack runs", () => {
  function build(env: Record<string, string>): Promise<{ code: number; stdout: string; stderr: string }> {
    const options = { env: { PATH: process.env["PATH"], ...env } as NodeJS.ProcessEnv, timeout: 50_000 };
    return new Promise((resolve) => {
      const script = join(ROOT, "infra/image/build.ts");
      const child = execFile(process.execPath, [script], options, (_error, stdout, stderr) => {
        resolve({ code: child.exitCode ?? 1, stdout, stderr });
      });
    });
  }

  it("prints one line, the image by digest; the log goes to stderr as it comes", async () => {
    await standIn("flyctl", { lines: ["#1 building"] });
    const { code, stdout, stderr } = await build({
      IMAGE_BUILDER: "flyRemote",
      IMAGE_APP: app,
      IMAGE_TAG: HASH,
      IMAGE_REGISTRY_URL: fly.registryUrl,
      FLY_API_TOKEN: fly.orgToken,
    });
    expect({ code, stdout: stdout.replace(/[0-9a-f]{64}/, "…") }).toEqual({
      code: 0,
      stdout: `${fly.registryHost}/${app}@sha256:…\n`,
    });
    expect(stderr).toContain("image: #1 building\n");
  });

  it("says which variable is missing, a token with the way to get one", async () => {
    expect(await build({})).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining(
        "FLY_API_TOKEN is not set. Create one with `fly tokens create org`",
      ) as string,
    });
    const { stderr } = await build({ FLY_API_TOKEN: "x" });
    expect(stderr).toContain("IMAGE_BUILDER is not set; `pulumi up` sets it from the stack's config");
  });
});
