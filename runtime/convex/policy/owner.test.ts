import { expect, test } from "vitest";
import { decideOwnership, ownerNetwork } from "./owner.ts";

const OWNER = "agent-factory/staging/0123abcd";
const decide = (network: string | null, machines: Array<string | null> = []) =>
  decideOwnership("af-staging", OWNER, network, machines);

test("the network carries the owner's id, which no other stack shares", () => {
  expect(ownerNetwork(OWNER)).toBe("af-0123abcd");
  expect(ownerNetwork("plain")).toBe("af-plain");
});

test("an app with our mark is ours, whatever runs in it: strange machines are the listing's business", () => {
  expect(decide("af-0123abcd", [OWNER, null, "agent-factory/prod/9"])).toEqual({ ours: true });
});

test("an app with another's mark is refused even when it is empty, and the text says what to do", () => {
  expect(decide("af-ffff")).toEqual({
    ours: false,
    reason:
      "Fly app 'af-staging' is owned by another deployment (network 'af-ffff', expected 'af-0123abcd'). One Fly app serves one Convex deployment: give this stack its own agent-factory:fly.appName and run `pulumi up`.",
  });
  expect(decide("af-0123abcde", [OWNER]).ours).toBe(false);
});

test.each([null, "default", "my-network"])(
  "an adopted app on network %s is ours until another owner's machine runs in it",
  (network) => {
    expect(decide(network)).toEqual({ ours: true });
    expect(decide(network, [OWNER, null])).toEqual({ ours: true });
    expect(decide(network, [OWNER, "agent-factory/prod/9"])).toMatchObject({
      ours: false,
      reason: expect.stringContaining("runs machines of another deployment ('agent-factory/prod/9'"),
    });
  },
);
