import { link, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { SnapshotForRestore } from "../../../convex/validators.ts";
import { encodeBlob } from "./codec.ts";
import { scanFolder, sha256Hex } from "./folder.ts";
import { pathProblem, snapshotLimits } from "./limits.ts";
import { restoreSnapshot } from "./restore.ts";

let dir: string;
let server: Server;
let url: string;
const served = new Map<string, Buffer>();

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/endless") {
      const more = (): boolean => response.writable && response.write(Buffer.alloc(1 << 16, 7)) && more();
      response.on("drain", more);
      more();
      return;
    }
    const body = served.get(request.url ?? "");
    response.statusCode = body === undefined ? 404 : 200;
    response.end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "agent-factory-snapshot-"));
  served.clear();
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

type Entry = SnapshotForRestore["files"][number];

async function publish(path: string, text: string, change: Partial<Entry> = {}): Promise<Entry> {
  const content = Buffer.from(text);
  const { encoding, body } = await encodeBlob(content);
  const key = `/${served.size}`;
  served.set(key, body);
  return { path, sha256: sha256Hex(content), sizeBytes: content.length, encoding, url: url + key, ...change };
}
const restore = (files: Entry[]) =>
  restoreSnapshot(
    { snapshotId: "s" as SnapshotForRestore["snapshotId"], version: 1, files },
    dir,
    new AbortController().signal,
  );
const filesBelow = async () => (await readdir(dir, { recursive: true })).sort();

describe("restore", () => {
  test("writes the files, and hands the reserved ones over instead", async () => {
    const reserved = await restore([
      await publish("a.md", "short"),
      await publish("memory/2026-01-01.md", "long ".repeat(1_000)),
      await publish(".factory/transcript/00000.json", "[]"),
    ]);
    expect(await readFile(join(dir, "memory/2026-01-01.md"), "utf8")).toBe("long ".repeat(1_000));
    expect(await filesBelow()).toEqual(["a.md", "memory", "memory/2026-01-01.md"]);
    expect(reserved.get(".factory/transcript/00000.json")?.toString()).toBe("[]");
  });

  const damages: Array<[string, (entry: Entry) => Entry]> = [
    ["swapped", (entry) => ({ ...entry, url: `${url}/other` })],
    ["truncated", (entry) => ({ ...entry, url: `${url}/half` })],
    ["longer than promised", (entry) => ({ ...entry, sizeBytes: entry.sizeBytes - 1 })],
    ["of another hash", (entry) => ({ ...entry, sha256: "0".repeat(64) })],
    [
      "said to be encoded otherwise",
      (entry) => ({ ...entry, encoding: entry.encoding === "zstd" ? "identity" : "zstd" }),
    ],
  ];
  test.each(damages)("a blob that is %s writes nothing: restore checksum mismatch", async (_what, damage) => {
    const good = await publish("good.md", "good");
    const entry = await publish("bad.md", "words ".repeat(200));
    served.set("/other", (await encodeBlob(Buffer.from("other ".repeat(200)))).body);
    const body = served.get(entry.url.slice(url.length)) ?? Buffer.alloc(0);
    served.set("/half", body.subarray(0, body.length / 2));
    await expect(restore([good, damage(entry)])).rejects.toThrow("restore checksum mismatch: bad.md");
    expect(await filesBelow()).toEqual([]);
  });

  test.each(["../up.md", "/abs.md", "a/../../up.md", "a//b", "./a", "a\\b", "nul\0", "", "x/".repeat(20)])(
    "the path %j is refused before anything is fetched",
    async (path) => {
      const entry = await publish("good.md", "good", { path });
      await expect(restore([entry])).rejects.toThrow("restore refused");
      expect(await filesBelow()).toEqual([]);
    },
  );

  test("a path listed twice, or as file and folder, is refused", async () => {
    const entry = await publish("a", "x");
    await expect(restore([entry, entry])).rejects.toThrow("listed twice");
    await expect(restore([entry, { ...entry, path: "a/b" }])).rejects.toThrow("a file and a folder");
  });

  test("too many bytes are refused by the manifest alone", async () => {
    const entry = await publish("a", "x", { sizeBytes: snapshotLimits.totalBytesMax * 3 });
    await expect(restore([entry])).rejects.toThrow("too many bytes");
  });

  test.each(["zstd", "identity"] as const)(
    "a blob without end (%s) is dropped once it is longer than promised",
    async (encoding) => {
      const entry = await publish("endless.md", "x".repeat(100), { url: `${url}/endless`, encoding });
      await expect(restore([entry])).rejects.toThrow("restore checksum mismatch: endless.md");
      expect(await filesBelow()).toEqual([]);
    },
  );

  test("a blob that is gone says which file", async () => {
    const entry = await publish("gone.md", "x", { url: `${url}/none` });
    await expect(restore([entry])).rejects.toThrow("gone.md could not be fetched (status 404)");
  });
});

describe("scan", () => {
  test("reads regular files in order and hashes them", async () => {
    await mkdir(join(dir, "memory"));
    await writeFile(join(dir, "b.md"), "b");
    await writeFile(join(dir, "memory/a.md"), "a");
    const { files, skipped } = await scanFolder(dir);
    expect(files.map((file) => [file.path, file.sha256])).toEqual([
      ["b.md", sha256Hex(Buffer.from("b"))],
      ["memory/a.md", sha256Hex(Buffer.from("a"))],
    ]);
    expect(skipped).toEqual([]);
  });

  test("links, hard links and what the engine or the image owns are left out", async () => {
    await writeFile(join(dir, "real.md"), "x");
    await writeFile(join(dir, "twin.md"), "x");
    await link(join(dir, "twin.md"), join(dir, "twin2.md"));
    await symlink("/etc/hostname", join(dir, "link.md"));
    await symlink("/etc", join(dir, "linkdir"));
    for (const owned of ["skills", ".openclaw", ".factory", ".agents"]) {
      await mkdir(join(dir, owned));
      await writeFile(join(dir, owned, "x"), "x");
    }
    const { files, skipped } = await scanFolder(dir);
    expect(files.map((file) => file.path)).toEqual(["real.md"]);
    expect(skipped.map((entry) => entry.path)).toEqual(["link.md", "linkdir", "twin.md", "twin2.md"]);
  });

  test("a file beyond the limit is left out and named", async () => {
    await writeFile(join(dir, "big.bin"), Buffer.alloc(snapshotLimits.fileBytesMax + 1));
    const { files, skipped } = await scanFolder(dir);
    expect(files).toEqual([]);
    expect(skipped[0]?.path).toBe("big.bin");
  });

  test("what is scanned may be restored: both sides agree on paths", () => {
    expect(pathProblem("memory/2026-01-01.md")).toBeNull();
    expect(pathProblem("mit Leerzeichen/ä.md")).toBeNull();
  });
});
