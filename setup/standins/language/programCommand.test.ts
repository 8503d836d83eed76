import { describe, expect, it } from "vitest";

import {
  programArguments,
  programEnd,
  programEnvironment,
  runtimeOptions,
  type ProgramRun,
} from "./programCommand.ts";

const run: ProgramRun = {
  runner: "/sdk/cmd/run",
  monitorAddress: "127.0.0.1:1",
  engineAddress: "127.0.0.1:2",
  organization: "organization",
  project: "factory",
  stack: "local",
  rootDirectory: "/repo",
  programDirectory: "/repo/infra",
  entryPoint: ".",
  parallel: 16,
  dryRun: false,
  config: { "factory:token": "hidden" },
  configSecretKeys: ["factory:token"],
  args: [],
  options: runtimeOptions({}),
};

describe("starting a program", () => {
  it("names the stack and both addresses, and ends with the entry point", () => {
    expect(programArguments(run).join(" ")).toBe(
      "/sdk/cmd/run --monitor 127.0.0.1:1 --engine 127.0.0.1:2 --organization organization --project factory " +
        "--root-directory /repo --stack local --pwd /repo/infra --parallel 16 .",
    );
  });

  it("marks a preview", () => {
    expect(programArguments({ ...run, dryRun: true })).toContain("--dry-run");
  });

  it("passes configuration by environment, never by arguments, which every user of the machine can read", () => {
    expect(programArguments(run).join(" ")).not.toContain("hidden");
    expect(programEnvironment(run)).toEqual({
      PULUMI_CONFIG: '{"factory:token":"hidden"}',
      PULUMI_CONFIG_SECRET_KEYS: '["factory:token"]',
      PULUMI_NODEJS_TYPESCRIPT: "true",
    });
  });

  it("obeys the runtime options of Pulumi.yaml", () => {
    const options = runtimeOptions({
      typescript: false,
      nodeargs: "--max-old-space-size=512  --trace-warnings",
    });
    expect(options.nodeargs).toEqual(["--max-old-space-size=512", "--trace-warnings"]);
    expect(programArguments({ ...run, options })[0]).toBe("--max-old-space-size=512");
    expect(programEnvironment({ ...run, options })["PULUMI_NODEJS_TYPESCRIPT"]).toBe("false");
  });
});

describe("a program's end", () => {
  it.each([
    [0, null, { kind: "done" }],
    [32, null, { kind: "bail" }],
    [1, null, { kind: "failed", error: "Program exited with non-zero exit code: 1" }],
    [null, "SIGKILL", { kind: "failed", error: "Program was ended by SIGKILL" }],
  ] as const)("exit code %s, signal %s → %o", (code, signal, end) => {
    expect(programEnd(code, signal)).toEqual(end);
  });
});
