import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { enginePath, hostedPrograms, pluginVersion, pulumi, root } from "./pulumi.mjs";

describe("pulumi", () => {
  let home: string;
  const base = () => ({ PULUMI_HOME: home, PATH: "/usr/bin" });

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "agent-factory-pulumi-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  function put(path: string): void {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "#!/bin/sh\n");
    chmodSync(path, 0o755);
  }

  it("names the set-up when the engine is missing", () => {
    expect(() => pulumi({}, base())).toThrow(
      `Pulumi 3.259.0 is not set up (${enginePath(base())} is missing). Run: node setup/main.mjs`,
    );
  });

  it("puts the project's Node first and a stand-in for each missing program on PATH", () => {
    put(enginePath(base()));
    const { command, env, standins } = pulumi({}, base());
    const path = env["PATH"]?.split(delimiter) ?? [];
    expect(command).toBe(enginePath(base()));
    expect(path[0]).toBe(join(root, "node_modules", ".bin"));
    expect(path.at(-1)).toBe("/usr/bin");
    for (const { folder } of hostedPrograms) {
      expect(path).toContain(join(root, "setup", "standins", folder));
      expect(standins).toContain(join(root, "setup", "standins", folder));
    }
    expect(path).toContain(join(root, "node_modules", "@pulumi", "pulumi"));
    expect(env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"]).toBe("true");
  });

  it("uses no stand-in for what is installed", () => {
    put(enginePath(base()));
    put(join(dirname(enginePath(base())), "pulumi-language-nodejs"));
    for (const name of ["random", "command"]) {
      put(join(home, "plugins", `resource-${name}-v${pluginVersion(name)}`, `pulumi-resource-${name}`));
    }
    const { env, standins } = pulumi({}, base());
    expect(standins).toEqual([]);
    expect(env["PATH"]).not.toContain("standins");
    expect(env["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"]).toBeUndefined();
  });

  it("keeps a stand-in for a plugin of another version", () => {
    put(enginePath(base()));
    put(join(home, "plugins", "resource-random-v1.0.0", "pulumi-resource-random"));
    expect(pulumi({}, base()).standins).toContain(join(root, "setup", "standins", "random"));
  });

  it("lets the caller's variables win", () => {
    put(enginePath(base()));
    const { env } = pulumi(
      { PULUMI_BACKEND_URL: "file:///state", PULUMI_SKIP_UPDATE_CHECK: "false" },
      base(),
    );
    expect(env).toMatchObject({
      PULUMI_BACKEND_URL: "file:///state",
      PULUMI_SKIP_UPDATE_CHECK: "false",
      PULUMI_VERSION: "3.259.0",
      PULUMI_HOME: home,
    });
  });
});
