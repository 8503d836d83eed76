import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parsePort, runService, UsageError } from "../service/process.ts";
import { startModel } from "./server.ts";

const USAGE =
  "node local/model/main.ts --state <dir> [--port <n>] [--api-key-file <file>] [--model <name> …] [--first-token-ms <n>] [--per-chunk-ms <n>]";

await runService("model", () => {
  const { values } = readArguments();
  if (!values.state) throw new UsageError(`--state <dir> is required.\n${USAGE}`);
  return startModel({
    state: values.state,
    port: parsePort(values.port),
    apiKey: values["api-key-file"] === undefined ? undefined : readKey(values["api-key-file"]),
    models: values.model,
    latency: {
      firstTokenMs: parseMs("--first-token-ms", values["first-token-ms"]),
      perChunkMs: parseMs("--per-chunk-ms", values["per-chunk-ms"]),
    },
  });
});

function readArguments() {
  try {
    return parseArgs({
      options: {
        state: { type: "string" },
        port: { type: "string" },
        "api-key-file": { type: "string" },
        model: { type: "string", multiple: true },
        "first-token-ms": { type: "string" },
        "per-chunk-ms": { type: "string" },
      },
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

/** The key is read from a file because process arguments are visible to every user of the machine. */
function readKey(file: string): string {
  let key: string;
  try {
    key = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new UsageError(`--api-key-file cannot be read: ${String(error)}`);
  }
  if (key === "") throw new UsageError(`--api-key-file ${file} is empty.`);
  return key;
}

function parseMs(flag: string, value: string | undefined): number {
  const ms = Number(value ?? "0");
  if (!Number.isFinite(ms) || ms < 0)
    throw new UsageError(`${flag} must be a number of milliseconds, got '${value}'.`);
  return ms;
}
