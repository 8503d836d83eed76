/** A process in a test: streams are text, time stands still unless a command waits. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CliError, exitCodes } from "../errors.ts";
import type { Io, ProgramRun } from "../io.ts";
import { run } from "../run.ts";
import type { FakeDeployment } from "./fakeDeployment.ts";

export const NOW = Date.parse("2026-11-22T12:00:00Z");

export interface FakeIo extends Io {
  out(): string;
  err(): string;
  /** Removes the project's stand-in folder. */
  remove(): void;
}

export interface FakeIoOptions {
  env?: Record<string, string | undefined>;
  /** Text that a pipe brings; a terminal when left out. */
  stdin?: string;
  /** What is typed at prompts. */
  typed?: string;
  confirmed?: boolean;
  stackOutputs?: Record<string, unknown>;
  program?: ProgramRun;
}

export function fakeIo(options: FakeIoOptions = {}): FakeIo {
  const root = mkdtempSync(join(tmpdir(), "agent-factory-cli-"));
  let out = "";
  let err = "";
  let now = NOW;
  return {
    root,
    env: options.env ?? {},
    stdin: options.stdin === undefined ? terminal() : pipe(options.stdin),
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    now: () => now,
    pause: (ms) => {
      now += ms;
      return Promise.resolve();
    },
    ask: {
      hidden: () => Promise.resolve(options.typed ?? ""),
      confirm: () => Promise.resolve(options.confirmed ?? false),
    },
    stackOutputs: (stack) =>
      options.stackOutputs === undefined
        ? Promise.reject(new CliError(exitCodes.notFound, "not_found", `no stack named '${stack}' found`))
        : Promise.resolve(options.stackOutputs),
    runProgram: () => Promise.resolve(options.program ?? { code: 0, stdout: "", stderr: "" }),
    userName: "ada",
    out: () => out,
    err: () => err,
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

async function* pipe(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

function terminal(): Io["stdin"] {
  return Object.assign(pipe(""), { isTTY: true });
}

export interface Outcome {
  code: number;
  out: string;
  err: string;
}

/** Runs one command against the fake deployment, with its key in the environment. */
export async function runAgainst(
  deployment: FakeDeployment,
  argv: readonly string[],
  options: FakeIoOptions = {},
): Promise<Outcome> {
  const io = fakeIo({
    ...options,
    env: { CONVEX_SELF_HOSTED_ADMIN_KEY: deployment.adminKey, ...options.env },
  });
  try {
    const code = await run(["--convex-url", deployment.url, ...argv], io);
    return { code, out: io.out(), err: io.err() };
  } finally {
    io.remove();
  }
}
