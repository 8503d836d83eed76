import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkSecret } from "./secretRef.ts";

const deployment = { cloudUrl: "http://127.0.0.1:3210", siteUrl: "http://127.0.0.1:3211" };
const NAME_PROBLEM =
  "secretRef must start with a letter and hold at most 128 letters, digits, '.', '_' or '-'";

test.each(["fly.apiToken", "telegram.botToken.default", "a", `a${"b".repeat(127)}`])(
  "accepts %s",
  (secretRef) => {
    expect(checkSecret(secretRef, "value", deployment)).toBeNull();
  },
);

test.each(["", "1a", ".a", "a b", "a/b", "a\n", "ä", `a${"b".repeat(128)}`])(
  "refuses the name %j",
  (secretRef) => {
    expect(checkSecret(secretRef, "value", deployment)).toBe(NAME_PROBLEM);
  },
);

test("a blank value and one beyond 65,536 characters are refused by name", () => {
  expect(checkSecret("a", " \n", deployment)).toBe("plaintextValue of 'a' must not be blank");
  expect(checkSecret("a", "x".repeat(65_536), deployment)).toBeNull();
  expect(checkSecret("a", "x".repeat(65_537), deployment)).toBe(
    "plaintextValue of 'a' has 65537 characters, the limit is 65536",
  );
});

describe("convex.url", () => {
  const wanted =
    "'convex.url' takes the deployment's site URL (https://<deployment>.convex.site, here http://127.0.0.1:3211)";

  test.each(["https://brave-fox-1.convex.site", "http://127.0.0.1:3211", "http://127.0.0.1:3211/"])(
    "takes the site URL %s",
    (url) => {
      expect(checkSecret("convex.url", url, deployment)).toBeNull();
    },
  );

  test.each([
    ["https://brave-fox-1.convex.cloud", `${wanted}; the value is the cloud URL`],
    ["http://127.0.0.1:3210", `${wanted}; the value is the cloud URL`],
    ["https://example.com", `${wanted}; the value is neither`],
    ["https://convex.site.example.com", `${wanted}; the value is neither`],
    ["brave-fox-1", `${wanted}; the value is not a URL`],
  ])("refuses %s", (url, problem) => {
    expect(checkSecret("convex.url", url, deployment)).toBe(problem);
  });

  test("a deployment that does not know its URLs still tells the two kinds apart", () => {
    const unknown = { cloudUrl: undefined, siteUrl: undefined };
    expect(checkSecret("convex.url", "https://a.convex.site", unknown)).toBeNull();
    expect(checkSecret("convex.url", "https://a.convex.cloud", unknown)).toBe(
      "'convex.url' takes the deployment's site URL (https://<deployment>.convex.site); the value is the cloud URL",
    );
  });
});

test("no problem ever quotes the value", () => {
  fc.assert(
    fc.property(
      fc.constantFrom("convex.url", "1 bad name", "fly.apiToken"),
      fc.string({ minLength: 1, maxLength: 40 }),
      (secretRef, tail) => {
        const value = `canary-5Yh2${tail}`;
        for (const shown of [value, `https://${encodeURIComponent(value)}.example.com`]) {
          expect(checkSecret(secretRef, shown, deployment) ?? "").not.toContain("canary");
        }
      },
    ),
  );
});
