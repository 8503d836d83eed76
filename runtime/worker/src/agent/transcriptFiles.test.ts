import { expect, test } from "vitest";
import {
  batchesOf,
  transcriptFromFiles,
  transcriptToFiles,
  TRANSCRIPT_BYTES_MAX,
} from "./transcriptFiles.ts";

const message = (role: string, index: number, chars = 1_000) => ({
  role,
  content: `${index} ${"x".repeat(chars)}`,
});
const talk = (turns: number, chars?: number) =>
  Array.from({ length: turns }, (_, index) => [
    message("user", index, chars),
    message("assistant", index, chars),
  ]).flat();
const stored = (files: Map<string, string>) =>
  new Map([...files].map(([path, text]) => [path, Buffer.from(text)] as const));

test("what was written is read again, in order, in pieces that are small files", () => {
  const messages = talk(1_000);
  const files = transcriptToFiles(messages);
  expect(files.size).toBeGreaterThan(5);
  for (const text of files.values()) expect(text.length).toBeLessThan(300_000);
  expect(transcriptFromFiles(stored(files))).toEqual(messages);
});

test("another turn changes the last piece alone", () => {
  const before = transcriptToFiles(talk(1_000));
  const after = transcriptToFiles([...talk(1_000), message("user", 1_000)]);
  expect([...after].filter(([path, text]) => before.get(path) !== text)).toHaveLength(1);
});

test("an empty transcript is a transcript; a snapshot without one has none", () => {
  expect(transcriptFromFiles(stored(transcriptToFiles([])))).toEqual([]);
  expect(transcriptFromFiles(new Map([[".factory/profile.json", Buffer.from("{}")]]))).toBeNull();
});

test("beyond its limit the oldest go, and it still begins with the words of a person", () => {
  const messages = talk(20_000);
  const files = transcriptToFiles(messages);
  const bytes = [...files.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  expect(bytes).toBeLessThanOrEqual(TRANSCRIPT_BYTES_MAX);
  expect(bytes).toBeGreaterThan(TRANSCRIPT_BYTES_MAX - 600_000);
  const kept = transcriptFromFiles(stored(files)) ?? [];
  expect(kept[0]).toMatchObject({ role: "user" });
  expect(kept.at(-1)).toEqual(messages.at(-1));
  expect(kept).toEqual(messages.slice(-kept.length));
});

test("one message that is too large keeps its place and loses its content", () => {
  const huge = {
    role: "toolResult",
    toolCallId: "t1",
    content: [{ type: "text", text: "x".repeat(5_000_000) }],
  };
  const kept = transcriptFromFiles(stored(transcriptToFiles([message("user", 1), huge]))) ?? [];
  expect(kept[1]).toEqual({ ...huge, content: [{ type: "text", text: "[too large to be kept]" }] });
});

test("batches keep the order and their size, but for a message that is larger by itself", () => {
  expect(batchesOf(["a", "bb", "c".repeat(50), "d"], 10)).toEqual([["a", "bb"], ["c".repeat(50)], ["d"]]);
  expect(batchesOf([], 10)).toEqual([]);
});
