/**
 * A deployment on the open internet: requests that are forged, malformed, oversized or sent many times, over HTTP
 * and against real transactions. None ends in a server error, changes a document or is told anything worth knowing.
 *
 * HOSTILE_REQUESTS: how many in all (default 1000; a release is tried with 10000). HOSTILE_SEED repeats a run.
 */
import { randomInt } from "node:crypto";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ApiCall,
  type Described,
  described,
  requestFor,
  wrongKey,
} from "../../runtime/convex/testing/apiRequests.fixture.ts";
import {
  anyUpdate,
  malformedUpdate,
  webhookPath,
  wrongSecret,
} from "../../runtime/convex/testing/hostileUpdates.fixture.ts";
import { Factory, webhookHeader } from "../deployment/factory.ts";
import { callApi, makeKey } from "./consumer.ts";

const REQUESTS = Number(process.env["HOSTILE_REQUESTS"] ?? 1_000);
const SEED = Number(process.env["HOSTILE_SEED"] ?? randomInt(2 ** 31));
const IN_FLIGHT = 16;
/** One at a time on slow cores, and still in time. */
const TIMEOUT_MS = 60_000 + REQUESTS * 60;
const HOUR_MS = 3_600_000;
const BOT = "telegram.botToken.default";
/** What a refusal may not carry: where our code is and how it failed. */
const INSIDES = /\n {4}at |\.[cm]?[jt]s:\d|node_modules|Uncaught|ArgumentValidation|Server Error/;

let factory: Factory;
let operations: Described[];
let serviceKey: string;
let readOnly: string;

beforeAll(async () => {
  // Every timer of the backend is far away: what a table shows afterwards was written by a request.
  factory = await Factory.start({
    workers: 1,
    config: {
      lease: { leaseMs: HOUR_MS, heartbeatIntervalMs: 60_000, idleHeartbeatIntervalMs: 600_000 },
      scaling: { reconcileIntervalMs: HOUR_MS, workerLostAfterMs: HOUR_MS, idleTimeoutMs: 12 * HOUR_MS },
    },
  });
  serviceKey = await makeKey(factory.backend, "acme");
  readOnly = await makeKey(factory.backend, "acme", { scopes: ["agents:read"] });
  await factory.backend.settledTables();
  operations = described((await callApi(factory.backend.siteUrl, null, "GET", "/openapi.json")).json);
});

afterAll(async () => {
  await factory?.close();
});

/** Every document but the count of requests by key, which is what a key is limited by. */
async function state(): Promise<Record<string, string>> {
  const { serviceKeyBuckets: _, ...tables } = await factory.backend.exportTables();
  return tables;
}

interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

async function send({ method, path, headers, body }: Sent): Promise<{ status: number; text: string }> {
  const response = await fetch(`${factory.backend.siteUrl}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
    redirect: "manual",
    ...(body === undefined ? {} : { body }),
  });
  const answer = { status: response.status, text: await response.text() };
  const shown = `${method} ${path} ${(body ?? "").slice(0, 200)} (HOSTILE_SEED=${SEED})`;
  expect(answer.status, `${shown}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
  expect(answer.text, shown).not.toMatch(INSIDES);
  for (const secret of [
    serviceKey.slice(5),
    readOnly.slice(5),
    webhookHeader(BOT),
    factory.backend.adminKey,
  ]) {
    expect(answer.text.includes(secret), shown).toBe(false);
  }
  return answer;
}

/** Sends a share of all requests, several at once, and counts the statuses. */
async function storm(share: number, requests: fc.Arbitrary<Sent>, allowed: readonly number[]): Promise<void> {
  const all = fc.sample(requests, { numRuns: Math.ceil(REQUESTS * share), seed: SEED });
  const statuses: Record<number, number> = {};
  const total = all.length;
  await Promise.all(
    Array.from({ length: IN_FLIGHT }, async () => {
      for (let sent = all.pop(); sent !== undefined; sent = all.pop()) {
        const { status, text } = await send(sent);
        const shown = `${sent.method} ${sent.path} ${(sent.body ?? "").slice(0, 200)} (HOSTILE_SEED=${SEED})`;
        expect(allowed, `${shown}: ${status} ${text.slice(0, 300)}`).toContain(status);
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    }),
  );
  expect(Object.values(statuses).reduce((sum, count) => sum + count, 0)).toBe(total);
  console.info(`${total} requests, by status: ${JSON.stringify(statuses)}`);
}

const SECRET_HEADER = "x-telegram-bot-api-secret-token";
const update = (path: string, secret: string | null, body: string): Sent => ({
  method: "POST",
  path,
  headers: secret === null ? {} : { [SECRET_HEADER]: secret },
  body,
});
const asked = ({ method, path, body }: ApiCall, key: string | null): Sent => ({
  method,
  path: `/agent-factory/v1${path}`,
  headers: key === null ? {} : { authorization: `Bearer ${key}` },
  body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
});

test("forged webhook calls are refused and change nothing", { timeout: TIMEOUT_MS }, async () => {
  const before = await state();
  const secret = wrongSecret([webhookHeader("telegram.botToken.other"), webhookHeader(BOT).slice(0, -1)]);
  const forged = fc.tuple(webhookPath, secret, anyUpdate).map((parts) => update(...parts));
  await storm(0.3, forged, [403, 404]);
  expect(await state()).toEqual(before);
});

test(
  "malformed updates with the right secret are settled, since they will not get better",
  { timeout: TIMEOUT_MS },
  async () => {
    const before = await state();
    const path = "/agent-factory/telegram/webhook";
    await storm(
      0.15,
      malformedUpdate.map((body) => update(path, webhookHeader(BOT), body)),
      [200],
    );
    expect(await state()).toEqual(before);
  },
);

test("API requests without a right key are refused and change nothing", { timeout: TIMEOUT_MS }, async () => {
  const before = await state();
  const refused = operations.filter(({ path }) => path !== "/agents");
  const requests = fc.oneof(...refused.map((entry) => requestFor(entry)));
  const forged = fc.tuple(requests, wrongKey(serviceKey, readOnly)).map((parts) => asked(...parts));
  await storm(0.3, forged, [401, 403, 404, 405]);
  expect(await state()).toEqual(before);
});

test(
  "malformed API requests with the right key are refused and change nothing",
  { timeout: TIMEOUT_MS },
  async () => {
    const before = await state();
    // With a body, since every one here is spoilt; or by an id, since none of these exists.
    const spoilt = operations.filter(
      ({ path, operation }) => operation["requestBody"] !== undefined || /\{(?!userId)\w+\}/.test(path),
    );
    expect(spoilt.length).toBeGreaterThan(15);
    const requests = fc.oneof(...spoilt.map((entry) => requestFor(entry, { spoilt: true })));
    await storm(
      0.2,
      requests.map((call) => asked(call, serviceKey)),
      [400, 404, 405, 413],
    );
    expect(await state()).toEqual(before);
  },
);

test("copies of one update and of one request are accepted once", { timeout: TIMEOUT_MS }, async () => {
  const header = { [SECRET_HEADER]: webhookHeader(BOT) };
  const message = {
    message_id: 1,
    date: 1_800_000_000,
    chat: { id: 42, type: "private" },
    from: { id: 42, is_bot: false, first_name: "Ada" },
    text: "once",
  };
  const body = JSON.stringify({ update_id: 7, message });
  const path = "/agent-factory/telegram/webhook";
  const order = { conversationId: "c1", agentKey: "default", userId: "ada", text: "once, too" };
  const ordered = asked({ method: "POST", path: "/messages", body: order }, serviceKey);
  ordered.headers["idempotency-key"] = "order-7";
  const copy = fc.constantFrom({ method: "POST", path, headers: header, body }, ordered);
  await storm(0.05, copy, [200, 202]);
  const rows = await factory.backend.table("messageQueue");
  const texts = rows.map((row) => row.payload.messageText as string);
  expect(texts.toSorted()).toEqual(["once", "once, too"]);
});
