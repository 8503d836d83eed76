/** The worker's image as production builds it, but for OpenClaw: a bundle of the real sources, and no gateway. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestImage } from "../../../../local/fly/testing/image.ts";
import { bundleWorker } from "../../../../runtime/worker/image/bundle.ts";
import { type Behaviour, BEHAVIOUR_VARIABLE } from "./engine.ts";

let bundled: Promise<string> | null = null;

async function bundle(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "af-test-image-"));
  try {
    const file = join(folder, "main.js");
    await bundleWorker(file, fileURLToPath(new URL("main.ts", import.meta.url)));
    return readFileSync(file, "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param revision makes the digest differ while the behaviour stays. */
export async function workerImage(revision: string, behaviour: Behaviour = "good"): Promise<TestImage> {
  bundled ??= bundle();
  const main = await bundled;
  return {
    layers: [
      {
        "app/package.json": JSON.stringify({ type: "module" }),
        "app/main.js": main,
        "app/skills.json": "{}",
        "app/image.json": JSON.stringify({
          contextHash: revision,
          sourceRevision: revision,
          openclawDir: "openclaw",
          compileCacheDir: "compile-cache",
        }),
      },
    ],
    entrypoint: ["node"],
    cmd: ["main.js"],
    workingDir: "/app",
    env: [
      `${BEHAVIOUR_VARIABLE}=${behaviour}`,
      "OPENCLAW_AGENT_MODEL=openai/none",
      "OPENAI_API_KEY=no-key-at-all",
    ],
  };
}
