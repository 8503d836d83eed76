import { describe, expect, it } from "vitest";

import { checkInputs, type Operation } from "../provider.ts";
import { secret, unknown, type Properties } from "../values.ts";
import { localCommand, localRun } from "./resources.ts";
import type { Shell } from "./shell.ts";

const operation: Operation = { urn: "urn:build", preview: false, timeoutMs: undefined };
const preview: Operation = { ...operation, preview: true };

/** A command type whose commands only leave a trace. */
function recording(stdout = "out") {
  const ran: Shell[] = [];
  const run = (shell: Shell) => {
    ran.push(shell);
    return Promise.resolve({ stdout, stderr: "" });
  };
  return { ran, run, type: localCommand(run, () => undefined) };
}

describe("local.Command", () => {
  it("runs nothing in a preview and knows no output yet", async () => {
    const { ran, type } = recording();
    const { state } = await type.create({ create: "make" }, preview);
    expect(state).toEqual({ create: "make", stdout: unknown, stderr: unknown });
    expect(await type.update?.({ stdout: "old" }, { create: "make" }, preview)).toMatchObject({
      stdout: unknown,
    });
    expect(ran).toEqual([]);
  });

  it("makes its outputs secret when one input is", async () => {
    const { type } = recording("token ok");
    const { state } = await type.create(
      { create: "login", environment: { TOKEN: secret("abc") } },
      operation,
    );
    expect(state).toMatchObject({ environment: { TOKEN: secret("abc") }, stdout: secret("token ok") });
  });

  it("tells the shell which strings to hide, the last output's included", async () => {
    const { ran, type } = recording();
    const given: Properties = {
      create: "login",
      environment: { TOKEN: secret("abc") },
      stdin: secret("input"),
    };
    await type.update?.({ stdout: secret("earlier") }, given, operation);
    expect(ran[0]?.secrets).toEqual(["abc", "input", "earlier"]);
  });

  it("updates by the update command, else by the create command", async () => {
    const { ran, type } = recording();
    await type.update?.({}, { create: "make", update: "remake" }, operation);
    await type.update?.({}, { create: "make" }, operation);
    expect(ran.map((shell) => shell.command)).toEqual(["remake", "make"]);
  });

  it("keeps the last output when there is nothing to run", async () => {
    const { ran, type } = recording();
    const state = await type.update?.({ stdout: "kept", stderr: "" }, { delete: "clean" }, operation);
    expect(state).toEqual({ delete: "clean", stdout: "kept", stderr: "" });
    expect(ran).toEqual([]);
  });

  it("deletes by its delete command only, which sees the last output", async () => {
    const { ran, type } = recording();
    await type.delete?.({ create: "make", stdout: "made" }, operation);
    await type.delete?.({ create: "make", delete: "clean", stdout: "made", stderr: "noise" }, operation);
    expect(ran.map((shell) => [shell.command, shell.environment])).toEqual([
      ["clean", { PULUMI_COMMAND_STDOUT: "made", PULUMI_COMMAND_STDERR: "noise" }],
    ]);
  });

  it("keeps the last output to itself when told so", async () => {
    const { ran, type } = recording();
    const state = { delete: "clean", addPreviousOutputInEnv: false, stdout: "made" };
    await type.delete?.(state, operation);
    expect(ran[0]?.environment).toEqual({});
  });

  it("has a time limit: its own, or an hour", async () => {
    const { ran, type } = recording();
    await type.create({ create: "make" }, { ...operation, timeoutMs: 5_000 });
    await type.create({ create: "make" }, operation);
    expect(ran.map((shell) => shell.timeoutMs)).toEqual([5_000, 3_600_000]);
  });

  it.each([
    [undefined, { stdout: true, stderr: true }],
    ["stdout", { stdout: true, stderr: false }],
    ["stderr", { stdout: false, stderr: true }],
    ["none", { stdout: false, stderr: false }],
  ])("shows the streams that logging %s asks for", async (logging, shown) => {
    const { ran, type } = recording();
    await type.create({ create: "make", ...(logging === undefined ? {} : { logging }) }, operation);
    expect(ran[0]?.shown).toEqual(shown);
  });

  it("refuses what it does not serve instead of ignoring it", () => {
    const { type } = recording();
    const refused = checkInputs(type, { create: "make", archivePaths: ["dist/**"], logging: "loud" });
    expect(refused.map(({ property }) => property)).toEqual(["archivePaths", "logging"]);
  });

  it("is replaced by its triggers alone", () => {
    expect(recording().type.replaceOn).toEqual(["triggers"]);
  });
});

describe("local.run", () => {
  it("returns its arguments with the output", async () => {
    const { run } = recording("42");
    expect(await localRun(run)({ command: "answer", dir: "/srv" })).toEqual({
      command: "answer",
      dir: "/srv",
      stdout: "42",
      stderr: "",
    });
  });

  it("names a missing command", async () => {
    await expect(localRun(recording().run)({})).rejects.toThrow("command: missing required property");
  });
});
