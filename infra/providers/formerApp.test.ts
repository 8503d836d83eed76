import { beforeEach, expect, test, vi } from "vitest";
import { type AppStatus, awaitTokenEnd, decideTokenEnd, isInUseAgain } from "./formerApp.ts";

const answers: Array<Partial<AppStatus> | Error> = [];
let pauses = 0;

vi.mock("../platform/convexApi.ts", () => ({
  runConvexFunction: async () => {
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return { ...FORMER, ...answer };
  },
}));
vi.mock("../platform/pause.ts", () => ({
  pause: async () => {
    pauses += 1;
    vi.setSystemTime(Date.now() + 1_000);
  },
}));

const FORMER: AppStatus = {
  use: "leaving",
  live: 2,
  waitMs: 5_000,
  holdsImage: false,
  tokenApp: "new",
  tokenId: "t2",
};
const token = { appName: "old", tokenId: "t1" };
const convex = { mode: "selfHosted" as const, url: "http://127.0.0.1:1" };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: 0 });
  answers.length = 0;
  pauses = 0;
  return () => vi.useRealTimers();
});

test.each<[string, Partial<AppStatus>, ReturnType<typeof decideTokenEnd>]>([
  ["nothing needs the app any more", { use: "free" }, "end"],
  ["the new app runs an image of its repository", { use: "free", holdsImage: true }, "holds_image"],
  ["its workers have turns to finish", {}, "wait"],
  ["the stack is destroyed before its config was ever written", { use: "unconfigured" }, "end"],
  ["no other token was imported", { use: "in_force", tokenApp: "old", tokenId: "t1" }, "end"],
  [
    "the token was removed from the backend already",
    { use: "in_force", tokenApp: null, tokenId: null },
    "end",
  ],
  ["the token was replaced by hand", { use: "in_force", tokenApp: "old" }, "successor"],
  ["the same before the first config", { use: "unconfigured", tokenApp: "old" }, "successor"],
  ["the rollout to another app was rolled back", { use: "in_force" }, "kept"],
])("%s", (_what, change, verdict) => {
  expect(decideTokenEnd({ ...FORMER, ...change }, token)).toBe(verdict);
});

test("the token stays until the last worker has gone", async () => {
  answers.push({}, { live: 1 }, { live: 0 }, { use: "free" });
  expect(await awaitTokenEnd(convex, token)).toEqual({ verdict: "end", activeTokenId: "t2" });
  expect(pauses).toBe(3);
});

test("a wait is as long as the backend's own policies, and says what is left", async () => {
  answers.push({});
  await expect(awaitTokenEnd(convex, token)).rejects.toThrow(
    "Fly app 'old' is not deleted yet: 2 workers are still in it after 5 s. The new app serves; run `pulumi up` again to go on.",
  );
  expect(pauses).toBe(6);
});

test("a rollout that goes back during the wait keeps the app, and says so", async () => {
  answers.push({}, { use: "in_force" });
  await expect(awaitTokenEnd(convex, token)).rejects.toThrow(
    "Fly app 'old' is kept with all its workers: a rollout to another app was rolled back to it.",
  );
});

test("a backend without the question has nothing to spare; one that fails is not taken for it", async () => {
  answers.push(
    new Error("Convex function factory:appStatus failed: Could not find function for 'factory:appStatus'."),
  );
  expect((await awaitTokenEnd(convex, token)).verdict).toBe("end");
  expect(await isInUseAgain(convex, "old")).toBe(false);
  answers.splice(0, 1, new Error("no answer from http://127.0.0.1:1"));
  await expect(awaitTokenEnd(convex, token)).rejects.toThrow("no answer");
  await expect(isInUseAgain(convex, "old")).rejects.toThrow("no answer");
});

test("an app whose repository holds the image in force is kept, and it is said how to go on", async () => {
  answers.push({ use: "free", holdsImage: true });
  await expect(awaitTokenEnd(convex, token)).rejects.toThrow(
    "Fly app 'old' is not deleted: the image in force is in its repository.",
  );
});

test("an app is in use again with its own token in force alone", async () => {
  for (const [change, expected] of [
    [{ use: "in_force", tokenApp: "old" }, true],
    [{ use: "in_force" }, false],
    [{ use: "free", tokenApp: "old" }, false],
  ] as const) {
    answers.splice(0, 1, change);
    expect(await isInUseAgain(convex, "old")).toBe(expected);
  }
});
