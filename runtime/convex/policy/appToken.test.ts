import { expect, test } from "vitest";
import { type TokenVersion, tokenVersionFor } from "./appToken.ts";

const row = (version: number, appName: string | null, change: Partial<TokenVersion> = {}): TokenVersion => ({
  version,
  appName,
  active: false,
  readable: true,
  ...change,
});
const active = { active: true };

test.each<[string, TokenVersion[], string, number | null]>([
  ["the active one for its own app", [row(2, "b", active), row(1, "a")], "b", 2],
  ["the newest one that names the former app", [row(3, "b", active), row(2, "a"), row(1, "a")], "a", 2],
  ["an operator's active one for every app", [row(2, null, active), row(1, "a")], "a", 2],
  ["one of before versions named apps", [row(2, "b", active), row(1, null)], "a", 1],
  ["the active one where nothing else is left", [row(2, "b", active), row(1, "c")], "a", 2],
  ["no emptied one", [row(2, "b", active), row(1, "a", { readable: false })], "a", 2],
  ["none once the secret was removed", [row(2, "b", { readable: false }), row(1, "a")], "a", null],
  ["none where there is none", [], "a", null],
])("%s", (_what, versions, appName, expected) => {
  expect(tokenVersionFor(versions, appName)).toBe(expected);
});
