import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";

let clone: string;
beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "agent-factory-run-"));
  onTestFinished(() => rmSync(clone, { recursive: true, force: true }));
  mkdirSync(join(clone, "setup"));
  for (const file of ["run.mjs", "pulumi.mjs"])
    cpSync(join(import.meta.dirname, file), join(clone, "setup", file));
  writeFileSync(
    join(clone, "program.ts"),
    "const words: string[] = process.argv.slice(2);\nconsole.log(words.join(' '));\nprocess.exitCode = 3;\n",
  );
});

/** @param node version that the running Node claims to be. */
function run(node = process.versions.node) {
  const claim = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${node}" } });`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--import",
      `data:text/javascript,${encodeURIComponent(claim)}`,
      "setup/run.mjs",
      "program.ts",
      "a",
      "--b",
    ],
    { cwd: clone, encoding: "utf8" },
  );
  return { status, stdout, stderr };
}

function setUp(): void {
  mkdirSync(join(clone, "node_modules", ".bin"), { recursive: true });
  symlinkSync(process.execPath, join(clone, "node_modules", ".bin", "node"));
}

describe("a program of the project", () => {
  it.each(["20.1.0", "24.16.0"])("says in a bare clone what to run, on Node %s", (node) => {
    expect(run(node)).toEqual({
      status: 2,
      stdout: "",
      stderr: "Agent Factory is not set up here. Run: node setup/main.mjs\n",
    });
  });

  it.each(["20.1.0", "24.16.0"])("runs with its arguments and exit code, started by Node %s", (node) => {
    setUp();
    expect(run(node)).toEqual({ status: 3, stdout: "a --b\n", stderr: "" });
  });
});
