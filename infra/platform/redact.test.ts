import { describe, expect, it } from "vitest";
import { redact } from "./redact.ts";

describe("redact", () => {
  const secret = 'pass"word\\with\nlines';

  it("blots a secret out as it is, in JSON, and in JSON inside JSON", () => {
    const once = JSON.stringify({ value: secret });
    const twice = JSON.stringify({ message: `cannot serve ${once}` });
    expect(redact(`${secret} ${once} ${twice}`, [secret])).toBe(
      '[redacted] {"value":"[redacted]"} {"message":"cannot serve {\\"value\\":\\"[redacted]\\"}"}',
    );
  });

  it("blots out whole a secret that contains another one, wherever it stands", () => {
    expect(redact("abcd-efgh, abcd", ["abcd", "abcd-efgh"])).toBe("[redacted], [redacted]");
  });

  it("leaves ordinary words alone that a very short value would hit", () => {
    expect(redact("a failed call", ["a", ""])).toBe("a failed call");
  });
});
