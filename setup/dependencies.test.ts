import { readFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { compareVersions, sameTree } from "./dependencies.mjs";
import { root } from "./pulumi.mjs";

const locked = {
  "": {},
  infra: { version: "0.1.0" },
  "node_modules/@agent-factory/infra": { link: true },
  "node_modules/zod": { version: "4.6.7", integrity: "sha512-zod" },
  "node_modules/zod-darwin": { version: "4.6.7", optional: true },
};

describe("sameTree", () => {
  const { "": _root, "node_modules/zod-darwin": _otherPlatform, ...installed } = locked;

  it("takes a tree that lacks only optional packages of other platforms", () => {
    expect(sameTree(locked, installed)).toBe(true);
  });

  it("refuses a tree with another build of a package", () => {
    const changed = { ...installed, "node_modules/zod": { version: "4.6.7", integrity: "sha512-other" } };
    expect(sameTree(locked, changed)).toBe(false);
  });

  it("refuses a tree that lacks a package", () => {
    const { "node_modules/zod": _missing, ...incomplete } = installed;
    expect(sameTree(locked, incomplete)).toBe(false);
  });

  it("refuses a tree with a package that the lockfile does not know", () => {
    const extra = { ...installed, "node_modules/left-over": { version: "1.0.0" } };
    expect(sameTree(locked, extra)).toBe(false);
  });
});

describe("compareVersions", () => {
  it("compares by number, not by letter", () => {
    expect(compareVersions("24.9.0", "24.16.0")).toBeLessThan(0);
    expect(compareVersions("24.21.0", "24.16.0")).toBeGreaterThan(0);
    expect(compareVersions("24.16.0", "24.16.0")).toBe(0);
  });
});

interface LockEntry {
  readonly dependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

/** Names that npm would look for above `folder`, by Node's rules of resolution. */
function lookups(folder: string, name: string): string[] {
  const parts = folder.split("/node_modules/");
  const above = parts.map((_, index) => parts.slice(0, parts.length - index).join("/node_modules/"));
  return [...above.map((path) => `${path}/node_modules/${name}`), `node_modules/${name}`];
}

describe("package-lock.json", () => {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, LockEntry>;
  };

  it("names every dependency of every package, those of other platforms too: else npm ci refuses it", () => {
    const missing = Object.entries(lock.packages).flatMap(([folder, entry]) =>
      Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
        .filter((name) => lookups(folder, name).every((path) => lock.packages[path] === undefined))
        .map((name) => `${folder} needs ${name}`),
    );
    expect(missing).toEqual([]);
  });
});
