import { describe, expect, test } from "vitest";
import { clipText } from "./clipText.ts";

describe("a clipped text", () => {
  test("keeps what fits", () => {
    expect(clipText("short", 5)).toBe("short");
    expect(clipText("longer", 4)).toBe("long");
    expect(clipText("", 0)).toBe("");
  });

  test("ends before a character of two units that does not fit", () => {
    expect(clipText("ab\u{1f600}", 4)).toBe("ab\u{1f600}");
    expect(clipText("ab\u{1f600}c", 4)).toBe("ab\u{1f600}");
    expect(clipText("ab\u{1f600}c", 3)).toBe("ab");
    expect(clipText("\u{1f600}", 1)).toBe("");
  });

  test("is Unicode, whatever it came as", () => {
    expect(clipText("a\ud83d", 10)).toBe("a\ufffd");
    expect(clipText("\ude00abc", 2)).toBe("\ufffda");
  });
});
