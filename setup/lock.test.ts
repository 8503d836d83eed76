import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { withLock } from "./lock.mjs";

describe("withLock", () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "agent-factory-lock-"));
    path = join(folder, "deep", "set-up.lock");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const ignoreWait = () => undefined;

  it("lets one holder in at a time", async () => {
    let inside = 0;
    let most = 0;
    const work = async (): Promise<void> => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 4 }, () => withLock(path, ignoreWait, work)));
    expect(most).toBe(1);
    expect(existsSync(path)).toBe(false);
  });

  it("names the holder to whoever waits", async () => {
    const waited: number[] = [];
    await withLock(path, ignoreWait, async () => {
      expect(readFileSync(path, "utf8")).toBe(String(process.pid));
      const second = withLock(
        path,
        (pid) => waited.push(pid),
        async () => "second",
        50,
      );
      await expect(second).rejects.toThrow(
        `Another set-up (process ${process.pid}) has held ${path} for too long`,
      );
    });
    expect(waited).toEqual([process.pid]);
  });

  it("takes over the lock of a process that is gone", async () => {
    const gone = spawnSync(process.execPath, ["-e", ""]).pid;
    await withLock(path, ignoreWait, async () => undefined);
    writeFileSync(path, String(gone));
    await expect(withLock(path, ignoreWait, async () => "taken over")).resolves.toBe("taken over");
  });

  it("is free again after a failure", async () => {
    const failing = withLock(path, ignoreWait, () => Promise.reject(new Error("broken")));
    await expect(failing).rejects.toThrow("broken");
    expect(existsSync(path)).toBe(false);
  });
});
