/** The real process behind a command. */
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { userInfo } from "node:os";
import { readStackOutputs } from "./environment/stack.ts";
import { CliError, exitCodes } from "./errors.ts";
import type { Asker, Io, ProgramRun } from "./io.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/**
 * Asks at a terminal. Questions go beside the result, which may be on its way into a file or a pipe.
 * Prompts are loaded only when somebody is asked.
 */
export function askerAt(streams: { input: Readable; output: Writable }): Asker {
  return {
    async hidden(question) {
      const { isCancel, password } = await import("@clack/prompts");
      const value = await password({ message: question, ...streams });
      if (isCancel(value)) throw interrupted();
      return value;
    },
    async confirm(question) {
      const { confirm, isCancel } = await import("@clack/prompts");
      const value = await confirm({ message: question, initialValue: false, ...streams });
      if (isCancel(value)) throw interrupted();
      return value;
    },
  };
}

const interrupted = (): CliError => new CliError(exitCodes.interrupted, "interrupted", "Nothing was done.");

/** With stdin null the program has the terminal to itself. */
async function runProgram(file: string, args: readonly string[], stdin: string | null): Promise<ProgramRun> {
  const child = spawn(process.execPath, [join(root, file), ...args], {
    cwd: root,
    stdio: stdin === null ? "inherit" : "pipe",
  });
  let stdout = "";
  let stderr = "";
  child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString("utf8")));
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString("utf8")));
  child.stdin?.end(stdin ?? "");
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve(status ?? exitCodes.interrupted));
  });
  return { code, stdout, stderr };
}

export function processIo(): Io {
  return {
    root,
    env: process.env,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    now: Date.now,
    pause: async (ms) => {
      await pause(ms);
    },
    ask: askerAt({ input: process.stdin, output: process.stderr }),
    stackOutputs: (stack) => readStackOutputs(stack, root),
    runProgram,
    userName: userInfo().username,
  };
}
