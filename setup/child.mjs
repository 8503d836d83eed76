import { spawn } from "node:child_process";

/** What a child process said and how it ended. */
/** @typedef {{ code: number | null, output: string, timedOut: boolean }} ChildResult */

/** How much of a child's output is kept for an error, in characters from its end. */
const outputMax = 200_000;
/** Time between SIGTERM and SIGKILL, in milliseconds. */
const killGraceMs = 5_000;

/**
 * Runs a program to its end with its output kept rather than shown. Never rejects for a failing program.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, timeoutMs: number, onLine?: (line: string) => void }} options
 * @returns {Promise<ChildResult>}
 */
export function runChild(command, args, { cwd, env = process.env, timeoutMs, onLine }) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let timedOut = false;
    let partial = "";
    /** @param {Buffer} chunk */
    const take = (chunk) => {
      const text = chunk.toString();
      output = (output + text).slice(-outputMax);
      if (onLine === undefined) return;
      const lines = (partial + text).split("\n");
      partial = lines.pop() ?? "";
      lines.forEach(onLine);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), killGraceMs).unref();
    }, timeoutMs);
    const stop = () => child.kill("SIGTERM");
    process.once("exit", stop);
    /** @param {number | null} code @param {string} text */
    const end = (code, text) => {
      clearTimeout(timer);
      process.off("exit", stop);
      resolve({ code, output: text, timedOut });
    };
    child.once("error", (error) => end(null, error.message));
    child.once("close", (code) => end(code, output));
  });
}

/** The last lines of an output, for an error message. @param {string} output @param {number} [count] */
export function tail(output, count = 25) {
  return output
    .trimEnd()
    .split("\n")
    .slice(-count)
    .map((line) => `      ${line}`)
    .join("\n");
}
