import { describe, expect, test } from "vitest";
import { takeWithin } from "./takeWithin.ts";

let read = 0;
async function* rowsOf(sizes: readonly number[]): AsyncGenerator<{ text: string }> {
  read = 0;
  for (const size of sizes) {
    read += 1;
    yield await Promise.resolve({ text: "a".repeat(size) });
  }
}
const taken = async (sizes: number[], rowsMax: number, bytesMax: number) => {
  const { rows, more } = await takeWithin(rowsOf(sizes), rowsMax, bytesMax);
  return [rows.length, more];
};

describe("a batch", () => {
  test("ends at its number of rows, and says whether there are more", async () => {
    expect(await taken([1, 1, 1], 3, 1_000)).toEqual([3, false]);
    expect(await taken([1, 1, 1, 1], 3, 1_000)).toEqual([3, true]);
    expect(await taken([], 3, 1_000)).toEqual([0, false]);
  });

  test("ends at its bytes, and reads one row beyond them at most", async () => {
    expect(await taken([600, 600, 600, 600], 10, 1_000)).toEqual([2, true]);
    expect(read).toBe(3);
  });

  test("holds one row, however large it is", async () => {
    expect(await taken([5_000, 1], 10, 1_000)).toEqual([1, true]);
    expect(await taken([5_000], 10, 1_000)).toEqual([1, false]);
  });
});
