import { describe, expect, it } from "vitest";
import { convexSiteUrl, isLoopbackUrl } from "./urls.ts";

describe("convexSiteUrl", () => {
  it("derives the site URL from the cloud URL", () => {
    expect(convexSiteUrl("https://happy-otter-123.convex.cloud")).toBe("https://happy-otter-123.convex.site");
  });

  it("says which kind is wanted when given the other", () => {
    expect(() => convexSiteUrl("https://happy-otter-123.convex.site")).toThrow(
      "must be the deployment's .convex.cloud URL",
    );
    expect(() => convexSiteUrl("https://convex.example.com")).toThrow("set convex.mode to selfHosted");
  });
});

describe("isLoopbackUrl", () => {
  it("is true for this machine alone", () => {
    expect(isLoopbackUrl("http://127.0.0.1:9")).toBe(true);
    expect(isLoopbackUrl("http://[::1]:9")).toBe(true);
    expect(isLoopbackUrl("http://127.0.0.1.example.com")).toBe(false);
    expect(isLoopbackUrl("not a url")).toBe(false);
  });
});
