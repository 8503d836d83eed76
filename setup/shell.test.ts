import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { engineVersion } from "./pulumi.mjs";
import { shellLines } from "./shell.mjs";

const root = join(import.meta.dirname, "..");
/** A shell that has Node and the system's own programs, and nothing of ours. */
const PATH = `${dirname(process.execPath)}:/usr/bin:/bin`;

function shell(script: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script], {
    cwd: root,
    encoding: "utf8",
    env: { HOME: process.env["HOME"] ?? "", PATH, ...env },
  });
  return { status, stdout: stdout.trim(), stderr: stderr.trim() };
}

describe("a shell that evaluates the lines", () => {
  it("runs the pinned engine, and finds its Node language host", () => {
    const ran = shell(
      'eval "$(node setup/shell.mjs)" && pulumi version && echo "$PULUMI_NODEJS_TRANSPILE_ONLY" && command -v pulumi-language-nodejs',
    );
    const [version = "", transpileOnly] = ran.stdout.split("\n");
    expect([version.replace(/^v/, ""), transpileOnly]).toEqual([engineVersion(), "true"]);
    expect(ran.stdout).toContain("pulumi-language-nodejs");
    expect(ran.status).toBe(0);
  });

  it("adds nothing a second time", () => {
    const [line = ""] = shellLines({ HOME: process.env["HOME"], PATH });
    const before = line.slice("export PATH='".length, line.lastIndexOf("':"));
    expect(shellLines({ HOME: process.env["HOME"], PATH: `${before}:${PATH}` }).join("\n")).not.toContain(
      "PATH",
    );
  });

  it("is told what to run when nothing is set up", () => {
    const ran = shell("node setup/shell.mjs", { PULUMI_HOME: "/nonexistent" });
    expect(ran).toMatchObject({ status: 1, stdout: "" });
    expect(ran.stderr).toContain("Run: node setup/main.mjs");
  });
});
