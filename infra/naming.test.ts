import { describe, expect, it } from "vitest";
import { flyAppName, flyNetworkName, ownerIdentity, slug } from "./naming.ts";

const parts = { project: "agent-factory", stack: "PR_123 (preview)", ownerId: "0123456789abcdef" };

describe("names", () => {
  it("keep to what Fly accepts, whatever the stack is called", () => {
    expect(flyAppName(parts)).toBe("af-pr-123-preview-01234567");
    expect(flyNetworkName(parts)).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(slug("___", 30)).toBe("");
    expect(flyAppName({ ...parts, stack: "___" })).toBe("af-stack-01234567");
  });

  it("differ between owners that share project and stack names", () => {
    const other = { ...parts, ownerId: "fedcba9876543210" };
    expect(flyAppName(other)).not.toBe(flyAppName(parts));
    expect(flyNetworkName(other)).not.toBe(flyNetworkName(parts));
    expect(ownerIdentity(other)).not.toBe(ownerIdentity(parts));
  });

  it("stay short enough for a machine's name after a long stack name", () => {
    expect(flyAppName({ ...parts, stack: "x".repeat(200) }).length).toBeLessThanOrEqual(63);
  });
});
