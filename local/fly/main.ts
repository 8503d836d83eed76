import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { FlyOptions } from "./options.ts";
import { startFly } from "./server.ts";

const USAGE = `usage: node local/fly/main.ts --state DIR [--port N] [--registry-port N] [--org SLUG]... [--region CODE]
  [--faults FILE] [--rate-limit on|off] [--transient-ms N] [--destroyed-visible-ms N] [--on-close kill|keep]`;

const EXIT_MS_MAX = 4_800;

/** Reads the command line; every mistake is one sentence that names the flag. */
async function readOptions(argv: string[]): Promise<Partial<FlyOptions> & Pick<FlyOptions, "stateDir">> {
  const { values } = parseArgs({
    args: argv,
    options: {
      state: { type: "string" },
      port: { type: "string", default: "0" },
      "registry-port": { type: "string", default: "0" },
      org: { type: "string", multiple: true },
      region: { type: "string" },
      faults: { type: "string" },
      "rate-limit": { type: "string", default: "on" },
      "transient-ms": { type: "string" },
      "destroyed-visible-ms": { type: "string" },
      "on-close": { type: "string", default: "kill" },
    },
  });
  if (values.state === undefined)
    throw new Error(`--state is required: the folder that keeps everything\n${USAGE}`);
  const onClose = choice("--on-close", values["on-close"], ["kill", "keep"] as const);
  return {
    stateDir: values.state,
    port: count("--port", values.port, 65_535),
    registryPort: count("--registry-port", values["registry-port"], 65_535),
    rateLimit: choice("--rate-limit", values["rate-limit"], ["on", "off"] as const) === "on",
    onClose,
    faults: values.faults === undefined ? [] : await readFaults(values.faults),
    ...(values.org === undefined ? {} : { organizations: values.org }),
    ...(values.region === undefined ? {} : { defaultRegion: values.region }),
    ...(values["transient-ms"] === undefined
      ? {}
      : { transientMs: count("--transient-ms", values["transient-ms"], 60_000) }),
    ...(values["destroyed-visible-ms"] === undefined
      ? {}
      : { destroyedVisibleMs: count("--destroyed-visible-ms", values["destroyed-visible-ms"], 3_600_000) }),
  };
}

function count(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > max)
    throw new Error(`${flag}: '${text}' is not a number from 0 to ${max}`);
  return value;
}

function choice<T extends string>(flag: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw new Error(`${flag}: '${text}' is none of ${allowed.join(", ")}`);
  return found;
}

async function readFaults(file: string): Promise<unknown[]> {
  const json: unknown = JSON.parse(await readFile(file, "utf8"));
  if (!Array.isArray(json)) throw new Error(`--faults: ${file} must hold a JSON array of rules`);
  return json;
}

async function main(): Promise<void> {
  const fly = await startFly(await readOptions(process.argv.slice(2)));
  let closing = false;
  const stop = (): void => {
    if (closing) return;
    closing = true;
    // State survives any end, so nothing that still works in the background may hold up the exit.
    setTimeout(() => process.exit(0), EXIT_MS_MAX).unref();
    fly.close().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`fly: did not stop cleanly: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  const { url, registryUrl, graphqlUrl, orgTokenFile } = fly;
  process.stdout.write(`${JSON.stringify({ ready: true, url, registryUrl, graphqlUrl, orgTokenFile })}\n`);
}

main().catch((error: unknown) => {
  process.stderr.write(`fly: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
