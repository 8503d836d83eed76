import { expect, test } from "vitest";
import { secretKindProblem } from "./secretKind.ts";

const deployment = { cloudUrl: "https://otter-1.convex.cloud", siteUrl: "https://otter-1.convex.site" };
const problem = (secretRef: string, value: string) => secretKindProblem(secretRef, value, deployment);

test.each([
  ["fly.apiToken", "FlyV1 fm2_lJPECAAAAA"],
  ["fly.apiToken", "fo1_abc"],
  ["convex.url", "https://otter-1.convex.site"],
  ["telegram.botToken.default", "123456:AAE-xyz_0"],
  ["telegram.botToken", " 1:x \n"],
  ["agent-bridge.serviceKey", "anything"],
])("%s may hold %s", (secretRef, value) => {
  expect(problem(secretRef, value)).toBeNull();
});

test.each([
  ["fly.apiToken", "123456:AAE-xyz", "'fly.apiToken' holds a Telegram bot token, not a Fly token."],
  ["fly.apiToken", "https://otter-1.convex.site", "'fly.apiToken' holds a URL, not a Fly token."],
  [
    "telegram.botToken.default",
    "FlyV1 fm2_abc",
    "'telegram.botToken.default' does not hold a Telegram bot token (<bot id>:<secret>).",
  ],
  [
    "convex.url",
    "https://otter-1.convex.cloud",
    "'convex.url' takes the deployment's site URL (https://<deployment>.convex.site, here https://otter-1.convex.site); the value is the cloud URL",
  ],
])("%s must not hold %s", (secretRef, value, text) => {
  expect(problem(secretRef, value)).toBe(text);
});

test("no text quotes the value", () => {
  for (const secretRef of ["fly.apiToken", "convex.url", "telegram.botToken"]) {
    for (const value of ["99:hunter2", "https://hunter2.example", "hunter2"]) {
      expect(problem(secretRef, value) ?? "").not.toContain("hunter2");
    }
  }
});
