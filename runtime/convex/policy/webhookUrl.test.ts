import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decideWebhook, signedContent, WEBHOOK_ATTEMPTS_MAX, webhookUrlProblem } from "./webhookUrl.ts";

describe("where a webhook may point", () => {
  test.each(["https://example.com/hook", "https://example.com:8443/a?b=c", "https://93.184.216.34/"])(
    "%s may be called",
    (url) => {
      expect(webhookUrlProblem(url, false)).toBeNull();
    },
  );

  test.each(["", "example.com/hook", "/hook", `https://example.com/${"a".repeat(2_048)}`])(
    "%j is not an absolute URL",
    (url) => {
      expect(webhookUrlProblem(url, false)).toBe("url must be an absolute URL");
    },
  );

  test.each(["http://example.com", "ftp://example.com", "file:///etc/passwd", "javascript:alert(1)"])(
    "%s is not https",
    (url) => {
      expect(webhookUrlProblem(url, false)).toBe("url must start with https://");
    },
  );

  test("credentials in the URL are refused, also on loopback", () => {
    expect(webhookUrlProblem("https://u:p@example.com", false)).toBe("url must not carry credentials");
    expect(webhookUrlProblem("http://u@127.0.0.1:1", true)).toBe("url must not carry credentials");
  });

  test.each([
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "printer.local",
    "app.internal",
    "metadata.google.internal.",
    "0.0.0.0",
    "10.1.2.3",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "169.254.169.254",
    "192.168.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "100.64.0.1",
    "100.127.0.1",
    "[::1]",
    "[fd00::1]",
    "[::ffff:127.0.0.1]",
  ])("%s is private, however it is written", (host) => {
    expect(webhookUrlProblem(`https://${host}/hook`, false)).toBe(
      "url must not point into a private network",
    );
  });

  test.each(["172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "11.0.0.1"])(
    "%s, next to a private range, is public",
    (host) => {
      expect(webhookUrlProblem(`https://${host}/hook`, false)).toBeNull();
    },
  );

  test("plain http on 127.0.0.1 is for the embedded cloud alone", () => {
    expect(webhookUrlProblem("http://127.0.0.1:8080/hook", true)).toBeNull();
    expect(webhookUrlProblem("http://127.0.0.1:8080/hook", false)).toBe("url must start with https://");
    expect(webhookUrlProblem("http://127.0.0.1.example.com/hook", true)).toBe("url must start with https://");
  });
});

test("what is signed names the event, the time and the exact body", () => {
  expect(signedContent("evt_1", 1_700_000_000, '{"a":1}')).toBe('evt_1.1700000000.{"a":1}');
});

describe("after an attempt", () => {
  test.each([200, 204, 299])("HTTP %i is delivered", (status) => {
    expect(decideWebhook(1, { status }, 0)).toEqual({ next: "delivered" });
  });

  test.each([100, 301, 400, 404, 429, 500])("HTTP %i is tried again", (status) => {
    expect(decideWebhook(1, { status }, 1_000)).toEqual({
      next: "retry",
      at: 6_000,
      error: `HTTP ${status}`,
    });
  });

  test("410 is the receiver's no", () => {
    expect(decideWebhook(1, { status: 410 }, 0)).toEqual({ next: "failed", error: "HTTP 410" });
  });

  test("an event whose fate is unknown is sent again, in growing steps, and given up after the last", () => {
    const error = "timed out";
    const steps = Array.from({ length: WEBHOOK_ATTEMPTS_MAX }, (_, i) => decideWebhook(i + 1, { error }, 0));
    expect(steps.map((step) => (step.next === "retry" ? step.at : step.next))).toEqual([
      5_000,
      15_000,
      45_000,
      135_000,
      405_000,
      1_215_000,
      3_645_000,
      10_935_000,
      21_600_000,
      "failed",
    ]);
  });

  test("the wait is bounded, whatever was counted", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1_000 }),
        fc.integer({ min: 300, max: 599 }),
        (attempts, status) => {
          const decision = decideWebhook(attempts, { status }, 0);
          const wait = decision.next === "retry" ? decision.at : 0;
          expect(wait).toBeLessThanOrEqual(6 * 60 * 60_000);
          expect(decision.next === "failed").toBe(attempts >= WEBHOOK_ATTEMPTS_MAX || status === 410);
        },
      ),
    );
  });
});
