import { describe, expect, test } from "vitest";
import { advice, backoffMs } from "./providerBackoff.ts";
import { classifyFailure, type ProviderFailureKind } from "./providerErrors.ts";

const answer = (status: number, body: unknown, retryAfter: string | null = null) =>
  classifyFailure({
    type: "answer",
    status,
    body: typeof body === "string" ? body : JSON.stringify(body),
    retryAfter,
  });
const error = (text: string) => ({ error: text });

describe("what an answer means is decided by its body where the status is ambiguous", () => {
  const region = { kind: "no_capacity", scope: "region" };
  const machineHost = { kind: "no_capacity", scope: "machine_host" };
  const volumeHost = { kind: "no_capacity", scope: "volume_host" };
  test.each<[number, unknown, object]>([
    // Machine-readable status first, whatever the HTTP status and the text are.
    [422, { error: "whatever", status: "insufficient_capacity" }, region],
    [409, { error: "already exists", status: "insufficient_capacity" }, region],
    [422, { error: "no", status: "volume_placement_capacity" }, volumeHost],
    [409, error("could not reserve resource for machine: no capacity"), region],
    [412, error("insufficient resources to create new machine with existing volume"), volumeHost],
    [409, error("aborted: insufficient CPUs available to fulfill request"), machineHost],
    [409, error("insufficient memory available to fulfill request"), machineHost],
    [409, { message: "insufficient IPs available to fulfill request" }, machineHost],
    [403, error("organization is over the allowed quota. please consider other regions"), { kind: "quota" }],
    [422, error("you have reached the limit of machines for this app"), { kind: "quota" }],
    [
      409,
      error(
        'already_exists: unique machine name violation, machine ID 148e21 already exists with name "w-1"',
      ),
      { kind: "name_taken", machineId: "148e21" },
    ],
    [409, error("unique machine name violation"), { kind: "name_taken", machineId: null }],
    // The same statuses without such a body.
    [409, error("machine is being updated by another request"), { kind: "busy" }],
    [409, "", { kind: "busy" }],
    [412, error("machine secrets version not met"), { kind: "secrets_pending" }],
    [403, error("not allowed"), { kind: "auth" }],
    [401, error("insufficient_capacity"), { kind: "auth" }],
    [404, error("machine not found"), { kind: "not_found" }],
    [422, error("invalid guest"), { kind: "rejected" }],
    [400, error("only 1 volume supported"), { kind: "rejected" }],
    [418, "a status of tomorrow", { kind: "rejected" }],
    // It may have acted.
    [408, "", { kind: "unknown" }],
    [500, error("internal"), { kind: "unknown" }],
    [502, "<html>bad gateway</html>", { kind: "unknown" }],
    [503, error("no capacity"), { kind: "unknown" }],
  ])("%i %j", (status, body, expected) => {
    expect(answer(status, body)).toEqual(expected);
  });

  test.each(["", "null", "[]", "3", '"text"', "{", '{"error":7}', '{"status":null}'])(
    "a body of an unexpected shape is never an error of ours: %s",
    (body) => {
      expect(answer(422, body)).toEqual({ kind: "rejected" });
    },
  );

  test.each<[string | null, number | null]>([
    [null, null],
    ["7", 7_000],
    ["0", 0],
    ["86400", 600_000],
    ["-1", null],
    ["Wed, 21 Oct 2026 07:28:00 GMT", null],
  ])("429 with Retry-After %s waits %s ms, ten minutes at most", (header, retryAfterMs) => {
    expect(answer(429, "", header)).toEqual({ kind: "rate_limited", retryAfterMs });
  });
});

test("only a connection that was never made is unreachable; a cut one and a timeout may have acted", () => {
  for (const code of ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]) {
    expect(classifyFailure({ type: "network", code })).toEqual({ kind: "unreachable" });
  }
  for (const code of ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET", null]) {
    expect(classifyFailure({ type: "network", code })).toEqual({ kind: "unknown" });
  }
  expect(classifyFailure({ type: "timeout" })).toEqual({ kind: "unknown" });
});

describe("back-off", () => {
  const kinds: ProviderFailureKind[] = [
    "not_found",
    "name_taken",
    "no_capacity",
    "quota",
    "auth",
    "not_owned",
    "rate_limited",
    "secrets_pending",
    "busy",
    "rejected",
    "unreachable",
    "unknown",
  ];

  test.each(kinds)("%s grows with each failure in a row and is bounded", (kind) => {
    const waits = Array.from({ length: 40 }, (_, index) => backoffMs(kind, index + 1, null));
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBeLessThanOrEqual(300_000);
    expect(backoffMs(kind, 0, null)).toBe(waits[0]);
  });

  test("what only people can mend waits at least half a minute from the first time", () => {
    for (const kind of ["auth", "not_owned", "quota", "rejected"] as const) {
      expect(backoffMs(kind, 1, null)).toBe(30_000);
      expect(advice(kind)).not.toBeNull();
    }
  });

  test("Retry-After is obeyed when it asks for more than the own wait, never for less", () => {
    expect(backoffMs("rate_limited", 1, 45_000)).toBe(45_000);
    expect(backoffMs("rate_limited", 10, 1_000)).toBe(30_000);
  });
});
