import { mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { takeOutbox, withUnsent } from "./send.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "agent-factory-send-"));
  await mkdir(join(folder, "outbox"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const put = (name: string, content: string): Promise<void> =>
  writeFile(join(folder, "outbox", name), content);
const named = async (dir: string): Promise<string[]> => (await readdir(join(folder, dir))).sort();

describe("the outbox", () => {
  test("is sent once: its files go to sent/", async () => {
    await put("b.md", "# B");
    await put("a.bin", "a");
    const { files, tooLarge } = await takeOutbox(folder);
    expect(files.map(({ fileName, mimeType }) => [fileName, mimeType])).toEqual([
      ["a.bin", "application/octet-stream"],
      ["b.md", "text/markdown"],
    ]);
    expect(tooLarge).toEqual([]);
    expect(await named("sent")).toEqual(["a.bin", "b.md"]);
    expect(await takeOutbox(folder)).toEqual({ files: [], tooLarge: [] });
  });

  test("that holds too large a file names it once, and keeps it in unsent/", async () => {
    await put("film.mp4", "");
    await truncate(join(folder, "outbox/film.mp4"), 16 * 1024 * 1024 + 1);
    await put("note.txt", "here it is");
    const { files, tooLarge } = await takeOutbox(folder);
    expect(files.map(({ fileName }) => fileName)).toEqual(["note.txt"]);
    expect(tooLarge).toEqual(["film.mp4"]);
    expect(await named("unsent")).toEqual(["film.mp4"]);
    expect((await takeOutbox(folder)).tooLarge).toEqual([]);
  });

  test("sends no empty file, no link and no folder, and says nothing of them", async () => {
    await put("empty.txt", "");
    await mkdir(join(folder, "outbox/dir"));
    await symlink("/etc/hostname", join(folder, "outbox/link.txt"));
    expect(await takeOutbox(folder)).toEqual({ files: [], tooLarge: [] });
    expect(await named("outbox")).toEqual(["dir", "empty.txt", "link.txt"]);
  });
});

test("the person is told of what was too large, also by an agent that said nothing else", () => {
  expect(withUnsent("Done.", [])).toBe("Done.");
  expect(withUnsent("Done.", ["a.zip", "b.zip"])).toBe(
    "Done.\n\n(Not sent, since larger than 16 MB: a.zip, b.zip)",
  );
  expect(withUnsent(" ", ["a.zip"])).toBe("(Not sent, since larger than 16 MB: a.zip)");
});
