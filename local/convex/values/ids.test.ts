import { describe, expect, it } from "vitest";
import { newId, tableNumberOf } from "./ids.ts";

describe("document ids", () => {
  it("name their table, in 31 letters for system tables and 32 for user tables", () => {
    for (const table of [1, 127, 128, 10_001, 16_383]) {
      const id = newId(table);
      expect(id).toMatch(/^[0-9a-hjkmnp-tv-z]+$/);
      expect(id).toHaveLength(table < 128 ? 31 : 32);
      expect(tableNumberOf(id)).toBe(table);
    }
  });

  it("are not repeated", () => {
    expect(new Set(Array.from({ length: 10_000 }, () => newId(10_001))).size).toBe(10_000);
  });

  it("recognise a letter that was changed, removed or added", () => {
    const id = newId(10_001);
    for (let i = 0; i < id.length; i++) {
      const other = id[i] === "z" ? "y" : "z";
      expect(tableNumberOf(id.slice(0, i) + other + id.slice(i + 1))).not.toBe(10_001);
    }
    expect(tableNumberOf(id.slice(1))).toBeNull();
    expect(tableNumberOf(`${id}0`)).toBeNull();
    expect(tableNumberOf("not an id")).toBeNull();
    expect(tableNumberOf("")).toBeNull();
  });
});
