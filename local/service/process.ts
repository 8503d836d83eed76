/** What every service of the embedded cloud returns once it answers. */
export interface RunningService {
  url: string;
  close(): Promise<void>;
}

/** A mistake of the person who started the service: printed as one line, without a stack. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A clean stop may take this long before the process leaves anyway. */
const STOP_LIMIT_MS = 4_500;

/**
 * Runs one service as a process: prints exactly one JSON line on stdout when it is ready, logs to stderr, and stops
 * with exit code 0 on SIGTERM or SIGINT. A start that fails prints one clear line and exits with 1.
 */
export async function runService(name: string, start: () => Promise<RunningService>): Promise<void> {
  let service: RunningService;
  try {
    service = await start();
  } catch (error) {
    const expected = error instanceof UsageError || (error instanceof Error && error.name === "PortError");
    console.error(
      `${name}: ${error instanceof Error ? (expected ? error.message : error.stack) : String(error)}`,
    );
    process.exit(1);
  }

  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(0), STOP_LIMIT_MS).unref();
    service.close().then(
      () => process.exit(0),
      (error: unknown) => {
        console.error(`${name}: stopping failed: ${String(error)}`);
        process.exit(1);
      },
    );
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  process.stdout.write(`${JSON.stringify({ ready: true, url: service.url })}\n`);
}

/** Reads `--port`: an integer from 0 to 65535. */
export function parsePort(value: string | undefined): number {
  const port = Number(value ?? "0");
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new UsageError(`--port must be an integer from 0 to 65535, got '${value}'.`);
  }
  return port;
}
