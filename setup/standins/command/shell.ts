import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";

import { killTree } from "../processTree.ts";

/** One command to run. Times in milliseconds. */
export interface Shell {
  readonly command: string;
  readonly interpreter: readonly string[];
  readonly dir: string | undefined;
  readonly environment: Readonly<Record<string, string>>;
  readonly stdin: string;
  readonly timeoutMs: number;
  /** Strings that must not be shown in log lines or errors. */
  readonly secrets: readonly string[];
  /** Streams whose lines are shown while the command runs. */
  readonly shown: { readonly stdout: boolean; readonly stderr: boolean };
  onLine(line: string): void;
}

/** What a command wrote, without the last newline. */
export interface ShellOutput {
  readonly stdout: string;
  readonly stderr: string;
}

/** A command's output is kept in the stack's state: more than this (bytes per stream) fails it instead. */
const outputBytesMax = 16 * 1024 * 1024;
/** How much of a failed command's output its error repeats, in characters from the end. */
const errorTailChars = 16_000;

/** Runs commands and can end them all. */
export class ShellRunner {
  readonly #running = new Set<number>();
  #cancelled = false;

  /** Resolves when the command exits with 0; else rejects with the exit code and what it wrote. */
  run(shell: Shell): Promise<ShellOutput> {
    if (this.#cancelled) return Promise.reject(new Error("not started: the update was cancelled"));
    return new Promise((resolve, reject) => {
      const [program = "/bin/sh", ...args] = shell.interpreter;
      const child = spawn(program, [...args, shell.command], {
        cwd: shell.dir,
        env: { ...process.env, ...shell.environment },
        stdio: ["pipe", "pipe", "pipe"],
      });
      const output = { stdout: "", stderr: "", both: "" };
      let problem: string | undefined;
      const end = (reason: string): void => {
        problem ??= reason;
        if (child.pid !== undefined) void killTree(child.pid);
      };
      for (const name of ["stdout", "stderr"] as const) {
        child[name].setEncoding("utf8");
        child[name].on("data", (chunk: string) => {
          output[name] += chunk;
          output.both = (output.both + chunk).slice(-errorTailChars);
          if (output[name].length > outputBytesMax) end(`wrote more than ${outputBytesMax} bytes to ${name}`);
        });
        if (shell.shown[name]) showLines(child[name], shell);
      }
      // The command may end without reading its input: that is its own affair.
      child.stdin.on("error", () => undefined);
      child.stdin.end(shell.stdin);

      const timer = setTimeout(() => end(`took longer than ${shell.timeoutMs / 1_000} s`), shell.timeoutMs);
      if (child.pid !== undefined) this.#running.add(child.pid);
      child.once("error", (error) => {
        clearTimeout(timer);
        reject(new Error(`cannot start ${program}${inDir(shell)}: ${error.message}`));
      });
      child.once("close", (code, signal) => {
        clearTimeout(timer);
        if (child.pid !== undefined) this.#running.delete(child.pid);
        if (this.#cancelled) problem ??= "the update was cancelled";
        problem ??= code === 0 ? undefined : code === null ? `signal: ${signal}` : `exit status ${code}`;
        if (problem === undefined) {
          resolve({ stdout: output.stdout.replace(/\n$/, ""), stderr: output.stderr.replace(/\n$/, "") });
        } else {
          const text = `${problem}: running ${JSON.stringify(shell.command)}:\n${output.both}`;
          reject(new Error(redact(text, shell.secrets)));
        }
      });
    });
  }

  /** Ends every running command and refuses new ones. */
  async cancel(): Promise<void> {
    this.#cancelled = true;
    await Promise.all([...this.#running].map(killTree));
  }
}

function showLines(stream: NodeJS.ReadableStream, shell: Shell): void {
  const lines = createInterface({ input: stream.pipe(new PassThrough()) });
  lines.on("line", (line) => {
    if (line.trim() !== "") shell.onLine(redact(line, shell.secrets));
  });
}

/** Hides secrets, whole and line by line, since output is shown line by line. One- and two-letter ones would hide everything. */
export function redact(text: string, secrets: readonly string[]): string {
  return secrets
    .flatMap((secret) => [secret, ...secret.split("\n")])
    .filter((secret) => secret.trim().length >= 3)
    .sort((left, right) => right.length - left.length)
    .reduce((shown, secret) => shown.replaceAll(secret, "[secret]"), text);
}

function inDir(shell: Shell): string {
  return shell.dir === undefined ? "" : ` in ${shell.dir} (does the folder exist?)`;
}
