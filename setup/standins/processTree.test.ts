import { spawn } from "node:child_process";
import { once } from "node:events";

import { describe, expect, it } from "vitest";

import { descendants, killTree } from "./processTree.ts";

describe("descendants", () => {
  it("finds children of children, and nobody else's", () => {
    const table = [
      { pid: 2, parent: 1 },
      { pid: 3, parent: 2 },
      { pid: 4, parent: 3 },
      { pid: 5, parent: 1 },
    ];
    expect(descendants(2, table)).toEqual([2, 3, 4]);
  });

  it("ends even when a reused pid closes a circle", () => {
    const circle = [
      { pid: 2, parent: 3 },
      { pid: 3, parent: 2 },
    ];
    expect(descendants(2, circle)).toEqual([2, 3]);
  });
});

describe("killTree", () => {
  it("ends a process that ignores SIGTERM", async () => {
    const script =
      "process.on('SIGTERM', () => undefined); console.log('up'); setInterval(() => undefined, 1000)";
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] });
    const ended = once(child, "exit");
    await once(child.stdout, "data");
    await killTree(child.pid ?? 0);
    await expect(ended).resolves.toEqual([null, "SIGKILL"]);
  });
});
