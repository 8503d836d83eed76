/** Entry of the image: environment in, exit code out. */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { connectBackend } from "./backend/convexBackend.ts";
import { parseWorkerConfig } from "./config.ts";
import { readImageTree } from "./imageTree.ts";
import { createLog } from "./log.ts";
import { startWorker } from "./worker.ts";

const CALL_TIMEOUT_MS = 8_000;
/** A boot that is asked to stop has nothing to save. */
const BOOT_STOP_EXIT_CODE = 0;

const startedAt = performance.now();
const rootDir = dirname(fileURLToPath(import.meta.url));
const image = await readImageTree(rootDir).catch((error: unknown) => fatal([`the image is damaged: ${String(error)}`]));
const parsed = parseWorkerConfig({ OPENCLAW_DIR: image.openclawDir, ...process.env });
const config = parsed.ok ? parsed.config : fatal(parsed.problems);
const log = createLog(config.logLevel, { workerId: config.workerId });
const backend = connectBackend({
  url: config.convexUrl,
  credential: { workerId: config.workerId, token: config.token },
  callTimeoutMs: CALL_TIMEOUT_MS,
});

let stop: (reason: string) => void = () => process.exit(BOOT_STOP_EXIT_CODE);
process.on("SIGTERM", () => stop("SIGTERM"));
process.on("SIGINT", () => stop("SIGINT"));

try {
  const worker = await startWorker({ config, image, backend, log, startedAt });
  stop = (reason) => void worker.stop(reason);
  await worker.stopped;
  process.exit(0);
} catch (error) {
  log.fatal({ error: error instanceof Error ? error.message : String(error) }, "FATAL the worker cannot serve");
  process.exit(1);
}

/** One line for each problem, and the exit code that says: the configuration is wrong, do not try again. */
function fatal(problems: string[]): never {
  for (const problem of problems) console.error(`FATAL ${problem}`);
  process.exit(78);
}
