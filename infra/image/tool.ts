/** Runs a command-line tool, passing its output on as progress. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { redact } from "../platform/redact.ts";

export interface ToolRun {
  command: string;
  args: string[];
  cwd: string;
  env?: NodeJS.ProcessEnv;
  progress: (line: string) => void;
  /** What to say when the command is not installed. */
  missing: string;
  /** What to run next when it fails. */
  next?: string;
  /** Values that may be in no line of its output. */
  secrets?: readonly string[];
  /** Milliseconds until the tool is ended; 45 minutes by default. */
  timeoutMs?: number;
}

const LINES_KEPT = 15;
/** A line beyond this is cut: a tool may print a file. */
const LINE_LENGTH_MAX = 2_000;
/** After SIGTERM, ms. */
const KILL_AFTER_MS = 10_000;

/** Credentials that a tool has no use for, unless it is given them by name. */
const WITHHELD = /^(PULUMI_|CONVEX_|FLY_API_TOKEN$|FLY_ACCESS_TOKEN$|TELEGRAM_|.*_API_KEY$)/;

/** The environment for a tool: everything but credentials, and what it is given. */
export function toolEnvironment(given: Record<string, string>): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !WITHHELD.test(name));
  return { ...Object.fromEntries(kept), ...given };
}

/** @throws Error with the tool's last lines and what to do when it fails, or the install hint when it is not there. */
export async function runTool(run: ToolRun): Promise<void> {
  const child = spawn(run.command, run.args, {
    cwd: run.cwd,
    env: run.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const tail: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (raw) => {
      const line = redact(raw, run.secrets ?? []).slice(0, LINE_LENGTH_MAX);
      run.progress(line);
      tail.push(line);
      if (tail.length > LINES_KEPT) tail.shift();
    });
  }
  const timeoutMs = run.timeoutMs ?? 45 * 60_000;
  let timedOut = false;
  let killTimer: NodeJS.Timeout | undefined;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGTERM");
    killTimer = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  }, timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => {
        reject(error.code === "ENOENT" ? new Error(run.missing, { cause: error }) : error);
      });
      child.once("close", (code, signal) => {
        if (code === 0) {
          resolve();
          return;
        }
        const how = timedOut
          ? `ended after ${Math.round(timeoutMs / 1_000)} s`
          : signal
            ? `signal ${signal}`
            : `exit code ${code}`;
        const next = run.next === undefined ? "" : `\n${run.next}`;
        reject(new Error(`${run.command} failed (${how}):\n${tail.join("\n")}${next}`));
      });
    });
  } finally {
    clearTimeout(timer);
    clearTimeout(killTimer);
  }
}
