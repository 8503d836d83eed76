import { expect, test } from "vitest";
import { pictureType, shownPictures } from "./pictures.ts";

test.each([
  ["ffd8ffe000104a464946", "image/jpeg"],
  ["89504e470d0a1a0a0000", "image/png"],
  ["474946383961", "image/gif"],
  ["524946460000000057454250", "image/webp"],
  ["524946460000000057415645", null],
  ["3c68746d6c3e", null],
  ["ffd8", null],
  ["", null],
])("a file that begins with %s is %s, whatever it is called", (hex, type) => {
  expect(pictureType(Buffer.from(hex, "hex"))).toBe(type);
});

test.each([
  [true, 1, 1],
  [true, 2, 1],
  [true, 3, 0],
  [false, 1, 0],
])("a model that sees (%s) is shown the pictures of attempt %i: %i", (modelSees, attempt, shown) => {
  const pictures = [{ fileName: "a.png", mimeType: "image/png", content: Buffer.of(1) }];
  expect(shownPictures(pictures, { modelSees, attempt })).toHaveLength(shown);
});
