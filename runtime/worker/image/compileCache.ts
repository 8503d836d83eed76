/**
 * V8's compiled code of the gateway, made once when the image is built: a machine that boots reads it and compiles
 * nothing. It is filled by what fills it anywhere, a boot and a turn, with a model that is a few lines of this file.
 *
 * Node files it under its own version and the user's id, with paths relative to the cache (`portable`): the tree may
 * move, the user and the Node must be those that will run it. Where they are not, Node compiles as it does without.
 */
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../src/agent/engine.ts";
import { planModels } from "../src/agent/models.ts";

const BOOT_TIMEOUT_MS = 180_000;
/** The cache is written when the process ends by itself. */
const STOP_TIMEOUT_MS = 30_000;

/**
 * Boots the gateway of a tree once and stops it.
 *
 * @throws when it does not boot, or leaves no cache.
 */
export async function fillCompileCache(options: {
  openclawDir: string;
  pluginDir: string;
  cacheDir: string;
}): Promise<void> {
  const runDir = await mkdtemp(join(tmpdir(), "agent-factory-warm-"));
  const model = await startOneWordModel();
  const models = planModels({
    OPENCLAW_AGENT_MODEL: "build/one-word",
    OPENCLAW_MODEL_BASE_URL: model.url,
    BUILD_API_KEY: "none",
  });
  if (!models.ok) throw new Error(models.problems.join(", "));
  const engine = createEngine(
    {
      openclawDir: options.openclawDir,
      runDir: join(runDir, "run"),
      pluginSourceDir: options.pluginDir,
      models: models.plan,
      turnTimeoutSeconds: 60,
      compileCache: { dir: options.cacheDir, portable: true },
      bootTimeoutMs: BOOT_TIMEOUT_MS,
    },
    {
      onRestart: (reason) => console.error(`compile cache: ${reason}`),
      onLost: (reason) => console.error(`compile cache: ${reason}`),
    },
  );
  try {
    await engine.start();
  } finally {
    await engine.stop(STOP_TIMEOUT_MS);
    await model.close();
    await rm(runDir, { recursive: true, force: true });
  }
  const entries = await readdir(options.cacheDir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  if (files.length < 100) throw new Error("The gateway left no compile cache: it did not end by itself");
  // Node keeps them for whoever made them; in an image they are root's, as all that its user must not change.
  for (const file of files) await chmod(join(file.parentPath, file.name), 0o644);
}

/** Answers every completion with one word, as a stream. */
async function startOneWordModel(): Promise<{ url: string; close(): Promise<void> }> {
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({
      id: "1",
      object: "chat.completion.chunk",
      model: "one-word",
      choices: [{ index: 0, delta, finish_reason: finish }],
    })}\n\n`;
  const server = createServer((request, response) => {
    request.resume();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.end(
      `${chunk({ role: "assistant", content: "ready" }, null)}${chunk({}, "stop")}data: [DONE]\n\n`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
