import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildTree } from "../image/buildTree.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-run-"));
  await buildTree({ outDir: join(dir, "tree"), openclaw: "link" });
});
afterAll(async () => {
  await rm(dir, { recursive: true });
});

test("a gateway that ends while it boots ends the worker with 1, and the worker says so", async () => {
  const openclawDir = join(dir, "openclaw");
  await mkdir(openclawDir);
  await writeFile(join(openclawDir, "openclaw.mjs"), "process.exit(3);\n");
  const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
    const env = {
      PATH: process.env["PATH"],
      DATA_DIR: join(dir, "data"),
      OPENCLAW_DIR: openclawDir,
      NODE_COMPILE_CACHE: join(dir, "cache"),
      CONVEX_URL: "http://127.0.0.1:9",
      WORKER_ID: "w-test-1",
      WORKER_TOKEN: "test",
      OPENCLAW_AGENT_MODEL: "openai/none",
      OPENAI_API_KEY: "test",
    };
    execFile(process.execPath, [join(dir, "tree/main.js")], { env }, (error, out) =>
      resolve({ code: error?.code ?? 0, stdout: out }),
    );
  });
  const last = JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as {
    level?: string;
    msg?: string;
    error?: string;
  };
  expect(last).toMatchObject({ level: "fatal", msg: "FATAL the worker cannot serve" });
  expect(last.error).toContain("exit code 3");
  expect(code).toBe(1);
});
