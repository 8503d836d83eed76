import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";

import { describe, expect, it, vi } from "vitest";

import { cutTree, descendants, killTree } from "./processTree.ts";

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

/** Processes of this computer whose command line is exactly this. */
function running(command: string): number[] {
  const table =
    process.platform === "linux"
      ? readdirSync("/proc")
          .filter((name) => /^\d+$/.test(name))
          .map((name) => `${name} ${commandLine(name)}`)
      : execFileSync("ps", ["-A", "-o", "pid=,args="], { encoding: "utf8" }).split("\n");
  return table
    .map((row) => /^\s*(\d+) (.*)$/.exec(row))
    .filter((row) => row?.[2] === command)
    .map((row) => Number(row?.[1]));
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return ""; // it ended between the listing and the read
  }
}

describe.each([
  ["killTree", killTree],
  ["cutTree", async (pid: number) => cutTree(pid)],
])("%s", (name, end) => {
  it("leaves no child behind of a process that is starting one after another", async () => {
    // Unlike any other command here, so that its processes can be told apart.
    const seconds = name === "killTree" ? "271.828" : "271.829";
    const loop = `echo up; i=0; while [ $i -lt 500 ]; do sleep ${seconds} & i=$((i+1)); done; wait`;
    const child = spawn("/bin/sh", ["-c", loop], { stdio: ["ignore", "pipe", "ignore"] });
    const ended = once(child, "exit");
    await once(child.stdout, "data");
    await end(child.pid ?? 0);
    await ended;
    // Who was killed may take a moment to be gone.
    try {
      await vi.waitFor(() => expect(running(`sleep ${seconds}`)).toEqual([]), { timeout: 20_000 });
    } finally {
      for (const pid of running(`sleep ${seconds}`)) process.kill(pid, "SIGKILL");
    }
  });
});
