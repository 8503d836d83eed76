/** Runs a service of `local/` as the process that it is in production use. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export interface ServiceProcess {
  url: string;
  /** Every line of stdout, the ready line included. */
  stdout: string[];
  /** Sends a signal and resolves with the exit code, null after a kill. */
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

/**
 * Starts `local/<service>/main.ts` and waits for its ready line; it is killed with the test.
 *
 * @throws with the process's stderr when it ends before it is ready.
 */
export async function startProcess(service: string, args: readonly string[]): Promise<ServiceProcess> {
  const main = fileURLToPath(new URL(`../../${service}/main.ts`, import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit") as Promise<[number | null]>;
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  let stderr = "";
  child.stderr?.on("data", (part: Buffer) => (stderr += part.toString()));
  const stdout: string[] = [];
  if (!child.stdout) throw new Error("the process has no stdout");
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise<string>((resolve) => {
    lines.on("line", (line) => {
      stdout.push(line);
      resolve(line);
    });
  });
  const first = await Promise.race([
    ready,
    exited.then(([code]) => Promise.reject(new Error(`exit ${code}: ${stderr}`))),
  ]);
  return {
    url: (JSON.parse(first) as { url: string }).url,
    stdout,
    async stop(signal) {
      child.kill(signal);
      const [code] = await exited;
      return code;
    },
  };
}
