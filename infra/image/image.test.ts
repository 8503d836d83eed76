import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Fly, startFly } from "../../local/fly/server.ts";
import { packLayer, pushFolder } from "./oci.ts";
import { RegistryClient } from "./registry.ts";
import { runTool } from "./tool.ts";

let fly: Fly;
let folder: string;
const image = { entrypoint: ["node", "main.js"], env: { B: "2", A: "1" }, workingDir: "/", labels: {} };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "infra-image-"));
  fly = await startFly({ stateDir: join(folder, "fly"), rateLimit: false });
  await writeFile(join(folder, "main.js"), "console.log('hello')\n");
  const answer = await fetch(`${fly.url}/v1/apps`, {
    method: "POST",
    headers: { authorization: `Bearer ${fly.orgToken}`, "content-type": "application/json" },
    body: JSON.stringify({ name: "af-image", org_slug: "personal", network: "af-n" }),
  });
  if (answer.status !== 201) throw new Error(`the app was not made: ${answer.status}`);
});

afterAll(async () => {
  await fly.close();
  await rm(folder, { recursive: true, force: true });
});

async function tree(content: string): Promise<string> {
  const path = await mkdtemp(join(folder, "tree-"));
  await writeFile(join(path, "main.js"), content);
  await writeFile(join(path, "a.txt"), "a");
  return path;
}

describe("the local builder's image", () => {
  it("has the same digest for the same content, wherever and whenever it was packed", async () => {
    const registry = new RegistryClient(fly.registryUrl, fly.orgToken);
    const one = await pushFolder(registry, "af-image", "one", await tree("x"), image);
    const two = await pushFolder(registry, "af-image", "two", await tree("x"), image);
    const other = await pushFolder(registry, "af-image", "three", await tree("y"), image);
    expect(two).toBe(one);
    expect(other).not.toBe(one);
    expect(await registry.digestOf("af-image", "one")).toBe(one);
  });

  it("depends on no clock", async () => {
    const first = await packLayer(await tree("x"));
    const second = await packLayer(await tree("x"));
    expect(second.diffId).toBe(first.diffId);
    expect(second.layer.equals(first.layer)).toBe(true);
  });
});

describe("the registry client", () => {
  it("tells a missing image from a refused token", async () => {
    const registry = new RegistryClient(fly.registryUrl, fly.orgToken);
    expect(await registry.digestOf("af-image", "nothing")).toBeNull();
    const stranger = new RegistryClient(fly.registryUrl, "fm2_wrong");
    await expect(stranger.digestOf("af-image", "one")).rejects.toThrow("Check FLY_API_TOKEN");
  });

  it("says that the app must exist first", async () => {
    const registry = new RegistryClient(fly.registryUrl, fly.orgToken);
    await expect(pushFolder(registry, "af-nothing", "t", await tree("x"), image)).rejects.toThrow(
      "the Fly app must exist before its image",
    );
  });
});

describe("running a tool", () => {
  it("a missing tool is named with the way to get it", async () => {
    await expect(
      runTool({
        command: "agent-factory-no-such-tool",
        args: [],
        cwd: folder,
        progress: () => undefined,
        missing: "not installed: install it",
      }),
    ).rejects.toThrow("not installed: install it");
  });

  it("a failing tool is reported with its last lines", async () => {
    const lines: string[] = [];
    const run = runTool({
      command: process.execPath,
      args: ["-e", "console.log('one'); console.error('two'); process.exit(3)"],
      cwd: folder,
      progress: (line) => lines.push(line),
      missing: "",
    });
    await expect(run).rejects.toThrow(/exit code 3[\s\S]*two/);
    expect(lines).toContain("one");
  });

  it("a tool that hangs is ended, and the error says after how long", async () => {
    const run = runTool({
      command: process.execPath,
      args: ["-e", "setInterval(() => {}, 1000)"],
      cwd: folder,
      progress: () => undefined,
      missing: "",
      timeoutMs: 1_000,
    });
    await expect(run).rejects.toThrow("(ended after 1 s)");
  });
});
