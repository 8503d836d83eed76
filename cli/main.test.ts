import { spawn } from "node:child_process";
import { openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { exitCodes } from "./errors.ts";

const main = join(import.meta.dirname, "main.ts");

/** The real program, whose stdout is what a shell makes of `| head -1` or `> file`. */
async function runInto(stdout: "closed" | number, args: readonly string[]) {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: ["ignore", stdout === "closed" ? "pipe" : stdout, "pipe"],
  });
  child.stdout?.destroy();
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stderr };
}

describe("the operator CLI", () => {
  it("ends as it would have when nobody reads its output to the end", async () => {
    expect(await runInto("closed", ["--help"])).toEqual({ code: exitCodes.ok, stderr: "" });
    expect(await runInto("closed", ["--json", "nosuch"])).toMatchObject({ code: exitCodes.usage });
  });

  it.runIf(process.platform === "linux")("says that its output could not be written", async () => {
    expect(await runInto(openSync("/dev/full", "w"), ["completion", "bash"])).toEqual({
      code: exitCodes.failed,
      stderr: "error The output cannot be written (ENOSPC).\n",
    });
  });

  it("has the project's version", async () => {
    const child = spawn(process.execPath, [main, "--version"], { stdio: ["ignore", "pipe", "inherit"] });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    await new Promise((resolve) => child.once("close", resolve));
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8")) as {
      version: string;
    };
    expect(stdout).toBe(`${version}\n`);
  });
});
