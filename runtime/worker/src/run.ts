/** The worker as a process: environment in, signals, exit code out. */
import { connectBackend } from "./backend/convexBackend.ts";
import { parseWorkerConfig } from "./config.ts";
import { readImageTree } from "./imageTree.ts";
import { createLog } from "./log.ts";
import { startWorker, type WorkerParts } from "./worker.ts";

const CALL_TIMEOUT_MS = 8_000;
/** sysexits' EX_CONFIG: the environment is wrong, another try would end the same way. */
const EXIT_CONFIG = 78;
const KEEP_ALIVE_MS = 60_000;

/**
 * Runs until the worker has drained, then ends the process: 0 after a drain, 78 for a wrong environment (one FATAL
 * line per problem), 1 when gateway or model do not come up.
 *
 * @param rootDir folder of the built tree.
 * @param parts what only tests replace.
 */
export async function runWorkerProcess(
  rootDir: string,
  parts: Pick<WorkerParts, "reached" | "makeEngine"> = {},
): Promise<never> {
  const startedAt = performance.now();
  // However it ends, it says how: a process that merely has nothing to wait for would end here without a word.
  setInterval(() => undefined, KEEP_ALIVE_MS);
  const image = await readImageTree(rootDir).catch((error: unknown) =>
    fatal([`the image is damaged: ${String(error)}`]),
  );
  const parsed = parseWorkerConfig({ OPENCLAW_DIR: image.openclawDir, ...process.env });
  const config = parsed.ok ? parsed.config : fatal(parsed.problems);
  const log = createLog(config.logLevel, { workerId: config.workerId });
  const backend = connectBackend({
    url: config.convexUrl,
    credential: { workerId: config.workerId, token: config.token },
    callTimeoutMs: CALL_TIMEOUT_MS,
  });

  // A boot that is asked to stop has nothing to save; leaving ends the gateway too.
  let stop: (reason: string) => void = () => process.exit(0);
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => stop("SIGINT"));
  try {
    const worker = await startWorker({ config, image, backend, log, startedAt, ...parts });
    stop = (reason) => void worker.stop(reason);
    await worker.stopped;
    process.exit(0);
  } catch (error) {
    log.fatal(
      { error: error instanceof Error ? error.message : String(error) },
      "FATAL the worker cannot serve",
    );
    process.exit(1);
  }
}

function fatal(problems: string[]): never {
  for (const problem of problems) console.error(`FATAL ${problem}`);
  process.exit(EXIT_CONFIG);
}
