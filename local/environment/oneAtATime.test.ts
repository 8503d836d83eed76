import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { AlreadyRunning, takeEnvironment } from "./oneAtATime.ts";

const module = join(import.meta.dirname, "oneAtATime.ts");

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "agent-factory-one-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A process whose command line contains `holder.mjs`, and which has the environment. */
async function holderOf(stateDir: string, home: string): Promise<ChildProcess> {
  const file = join(home, "holder.mjs");
  writeFileSync(
    file,
    `import { takeEnvironment } from ${JSON.stringify(module)};
     takeEnvironment(${JSON.stringify(stateDir)}, "holder.mjs", "");
     console.log("has it");
     setInterval(() => undefined, 1_000);`,
  );
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  return child;
}

const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
};

test("a second process is refused, with the first one's id and what to do", async () => {
  const home = folder();
  const stateDir = join(home, "env");
  const first = await holderOf(stateDir, home);
  const second = (): void => takeEnvironment(stateDir, "holder.mjs", "Stop it there first.");
  expect(second).toThrow(AlreadyRunning);
  expect(second).toThrow(`process ${first.pid}). Stop it there first.`);
  await end(first, "SIGKILL");
  expect(second).not.toThrow();
});

test("a process id that is another program's by now holds nothing", () => {
  const home = folder();
  writeFileSync(join(home, "env.pid"), String(process.ppid));
  expect(() => takeEnvironment(join(home, "env"), "no-such-program.ts", "")).not.toThrow();
});

test("the lock goes with a process that ends by itself", async () => {
  const home = folder();
  const file = join(home, "brief.mjs");
  const lock = join(home, "env.pid");
  writeFileSync(
    file,
    `import { existsSync } from "node:fs";
     import { takeEnvironment } from ${JSON.stringify(module)};
     takeEnvironment(${JSON.stringify(join(home, "env"))}, "brief.mjs", "");
     process.exitCode = existsSync(${JSON.stringify(lock)}) ? 0 : 1;`,
  );
  const child = spawn(process.execPath, [file], { stdio: "inherit" });
  expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(0);
  expect(existsSync(lock)).toBe(false);
});
