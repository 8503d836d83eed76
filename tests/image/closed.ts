/** What the image holds and says of itself, and what it refuses to start with. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { buildTree } from "../../runtime/worker/image/buildTree.ts";
import type { Engine } from "./engine.ts";
import type { Report } from "./report.ts";

const MODEL_ENV = {
  OPENCLAW_AGENT_MODEL: "openai/instant",
  OPENCLAW_MODEL_BASE_URL: "http://127.0.0.1:9/v1",
  OPENAI_API_KEY: "check",
};
const MISSING = ["CONVEX_URL", "OPENCLAW_AGENT_MODEL", "WORKER_ID", "WORKER_TOKEN"];
const FATAL_MISSING = MISSING.map((name) => `FATAL ${name} is missing`);
/** Where whoever runs in the image may write; all other files are root's. */
const WRITABLE = ["/data", "/tmp", "/var/tmp", "/run/lock", "/home/node", "/dev", "/proc", "/sys"];

const inspectSchema = z.array(
  z.object({
    Size: z.number(),
    Config: z.object({
      Entrypoint: z.array(z.string()),
      Cmd: z.array(z.string()).nullish(),
      User: z.string().nullish(),
      Healthcheck: z.unknown().optional(),
      ExposedPorts: z.unknown().optional(),
      Labels: z.record(z.string(), z.string()),
    }),
  }),
);

const sha256 = (content: string | Buffer): string => createHash("sha256").update(content).digest("hex");

export async function checkContents(engine: Engine, image: string, report: Report): Promise<void> {
  const inContainer = (...command: string[]): Promise<string> => {
    const [program = "", ...args] = command;
    return engine.must(["run", "--rm", ...engine.closed, `--entrypoint=${program}`, image, ...args]);
  };

  await report.check("it names its source and its base, has no port and no health check", async () => {
    const [found] = inspectSchema.parse(JSON.parse(await engine.must(["image", "inspect", image])));
    assert(found !== undefined);
    const { Config, Size } = found;
    assert.match(Config.Labels["org.opencontainers.image.revision"] ?? "", /^[0-9a-f]{40}$/);
    assert.match(Config.Labels["org.opencontainers.image.base.name"] ?? "", /./);
    const absent = [Config.Cmd ?? [], Config.Healthcheck ?? null, Config.ExposedPorts ?? null];
    assert.deepEqual(absent, [[], null, null]);
    return `${Math.round(Size / 1e6)} MB`;
  });

  await report.check("it holds what this checkout builds, byte for byte", async () => {
    const dir = await mkdtemp(join(tmpdir(), "af-image-check-"));
    try {
      const { contextHash } = await buildTree({ outDir: dir, openclaw: "link" });
      const built = JSON.parse(await inContainer("cat", "/app/image.json")) as { contextHash: string };
      assert.equal(built.contextHash, contextHash);
      for (const file of ["main.js", "plugin/index.js", "plugin/package.json", "skills.json"]) {
        const [there = ""] = (await inContainer("sha256sum", `/app/${file}`)).split(" ");
        assert.equal(there, sha256(await readFile(join(dir, file))), file);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  await report.check("its bill of materials lists packages of the tree", async () => {
    const bill = JSON.parse(await inContainer("cat", "/app/sbom.spdx.json")) as { packages: unknown[] };
    assert(bill.packages.length > 200);
    return `${bill.packages.length} packages`;
  });

  await report.check("its user can change nothing of it", async () => {
    const spared = WRITABLE.flatMap((path) => ["-path", path, "-prune", "-o"]);
    // Without a read-only root: what the files allow is looked at, not the mount. Exit 1 tells of folders unread.
    const { stdout, stderr } = await engine.run(
      [
        "run",
        "--rm",
        ...engine.plain,
        "--user=node",
        "--entrypoint=find",
        image,
        "/",
        "-xdev",
        ...spared,
      ].concat(["-writable", "!", "-type", "l", "-print"]),
    );
    assert.match(stderr, /Permission denied/);
    assert.equal(stdout, "");
  });

  await report.check("the gateway's compiled code is read by the image's Node and user", async () => {
    const { stdout, stderr } = await engine.run([
      "run",
      "--rm",
      ...engine.closed,
      "--user=node",
      "--env=NODE_DEBUG_NATIVE=COMPILE_CACHE",
      "--env=NODE_COMPILE_CACHE=/app/compile-cache",
      "--env=NODE_COMPILE_CACHE_PORTABLE=1",
      "--env=OPENCLAW_PACKAGED_COMPILE_CACHE_RESPAWNED=1",
      "--entrypoint=node",
      image,
      "/app/node_modules/openclaw/openclaw.mjs",
      "gateway",
      "run",
      "--help",
    ]);
    const lines = `${stdout}${stderr}`.split("\n").filter((line) => /for (ESM|CommonJS) file:/.test(line));
    const read = lines.filter((line) => line.includes("reading cache from")).length;
    const accepted = lines.filter((line) => line.includes("was accepted")).length;
    // A few modules are loaded for this help alone.
    assert(read > 1_000 && accepted > read * 0.95, `${accepted} of ${read} were accepted`);
    return `${accepted} of ${read} modules`;
  });
}

export async function checkRefusals(engine: Engine, image: string, report: Report): Promise<void> {
  const refusal = async (...options: string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await engine.run(["run", "--rm", ...engine.closed, ...options, image]);
    assert.equal(code, 78, `exit ${code}: ${stdout}${stderr}`);
    return stderr.trim().split("\n").sort();
  };

  await report.check("without its environment it ends with 78 and a FATAL line for each variable", async () =>
    assert.deepEqual(await refusal(), FATAL_MISSING),
  );
  await report.check("the same as a user without any privilege", async () =>
    assert.deepEqual(await refusal("--user=12345", "--cap-drop=all"), FATAL_MISSING),
  );
  await report.check("a folder that cannot be given to its user is named", async () => {
    const lines = await refusal("--env=DATA_DIR=/srv/data");
    assert(
      lines.some((line) => line.startsWith("FATAL DATA_DIR /srv/data cannot be given to node")),
      lines.join("\n"),
    );
  });
  await report.check("a read-only folder without a volume is named", async () => {
    const given = Object.entries({
      ...MODEL_ENV,
      CONVEX_URL: "http://127.0.0.1:9",
      WORKER_ID: "w",
      WORKER_TOKEN: "t",
    });
    const variables = given.map(([name, value]) => `--env=${name}=${value}`);
    const { code, stdout } = await engine.run(["run", "--rm", ...engine.closed, ...variables, image]);
    assert.equal(code, 1);
    assert.match(stdout, /DATA_DIR cannot be written.*EROFS.*FATAL/);
  });
}
