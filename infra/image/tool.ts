/** Runs a command-line tool, passing its output on as progress. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface ToolRun {
  command: string;
  args: string[];
  cwd: string;
  env?: NodeJS.ProcessEnv;
  progress: (line: string) => void;
  /** What to say when the command is not installed. */
  missing: string;
  /** Milliseconds until the tool is ended; 45 minutes by default. */
  timeoutMs?: number;
}

const LINES_KEPT = 15;

/** @throws Error with the tool's last lines when it fails, or the install hint when it is not there. */
export async function runTool(run: ToolRun): Promise<void> {
  const child = spawn(run.command, run.args, {
    cwd: run.cwd,
    env: run.env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const tail: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      run.progress(line);
      tail.push(line);
      if (tail.length > LINES_KEPT) tail.shift();
    });
  }
  const timer = setTimeout(() => child.kill("SIGTERM"), run.timeoutMs ?? 45 * 60_000);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => {
        reject(error.code === "ENOENT" ? new Error(run.missing, { cause: error }) : error);
      });
      child.once("close", (code, signal) => {
        if (code === 0) resolve();
        else {
          const how = signal ? `signal ${signal}` : `exit code ${code}`;
          reject(new Error(`${run.command} failed (${how}):\n${tail.join("\n")}`));
        }
      });
    });
  } finally {
    clearTimeout(timer);
  }
}
