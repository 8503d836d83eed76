import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Payload } from "../validators.ts";
import { checkPayload } from "./payload.ts";

const LIMIT = 2_048;
const payload: Payload = { provider: "telegram", providerUserId: "7", messageText: "hello" };
const request = { conversationId: "c1", agentKey: "support", payload };
const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));

test("an ordinary message has no problem", () => {
  expect(checkPayload(request, LIMIT)).toBeNull();
});

test.each([
  ["conversationId", { ...request, conversationId: " " }],
  ["agentKey", { ...request, agentKey: "" }],
  ["payload.externalMessageId", { ...request, payload: { ...payload, externalMessageId: "\t" } }],
])("a blank %s is refused by name", (field, blank) => {
  expect(checkPayload(blank, LIMIT)).toEqual({
    code: "invalid_argument",
    message: `${field} must not be blank`,
  });
});

test("a name of 512 characters is accepted, one of 513 is not", () => {
  expect(checkPayload({ ...request, conversationId: "c".repeat(512) }, LIMIT)).toBeNull();
  expect(checkPayload({ ...request, conversationId: "c".repeat(513) }, LIMIT)).toEqual({
    code: "invalid_argument",
    message: "conversationId has 513 characters, the limit is 512",
  });
});

test("a payload without its sender is refused", () => {
  expect(checkPayload({ ...request, payload: { ...payload, providerUserId: " " } }, LIMIT)).toEqual({
    code: "invalid_argument",
    message: "providerUserId is required but missing in payload",
  });
});

test("20 attachments are accepted, 21 are not", () => {
  const attached = (count: number) => ({
    ...request,
    payload: { ...payload, attachments: Array.from({ length: count }, () => ({ kind: "photo" as const })) },
  });
  expect(checkPayload(attached(20), LIMIT)).toBeNull();
  expect(checkPayload(attached(21), LIMIT)).toEqual({
    code: "invalid_argument",
    message: "payload.attachments has 21 entries, the limit is 20",
  });
});

test("the limit counts bytes of JSON, to the byte, and never quotes what was said", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }), (messageText) => {
      const said = { ...request, payload: { ...payload, messageText } };
      const bytes = bytesOf(said.payload);
      expect(checkPayload(said, bytes)).toBeNull();
      expect(checkPayload(said, bytes - 1)).toEqual({
        code: "payload_too_large",
        message: `payload is ${bytes} bytes, the limit is ${bytes - 1} (queue.payloadMaxBytes)`,
      });
    }),
  );
});
