/**
 * What belongs to one company, user, agent or bot, asked for with the key of another. The operations come from the
 * OpenAPI document and the operators' functions from the deployment, so that a new one is tested before anybody
 * thinks of it: it fails here until it is refused, or until somebody has said why it need not be.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Described, described } from "../../runtime/convex/testing/apiRequests.fixture.ts";
import { Factory, webhookHeader } from "../deployment/factory.ts";
import { acceptable, readDeployed } from "../deployment/functionSpec.ts";
import { CallRefused } from "../deployment/wire.ts";
import { type ApiAnswer, callApi, type KeyOptions, makeKey } from "./consumer.ts";
import { type Known, requestNaming } from "./requests.ts";

/** In everything that people of acme wrote or chose: what nobody else may read. */
const MARK = "between-us";
const HOUR_MS = 3_600_000;
/** Written by the passing of time, or counting calls: none is of a company. */
const VOLATILE = ["serviceKeyBuckets", "scaler", "counters", "workers", "workerSignals"];

let factory: Factory;
let operations: Described[];
let acme: string;
let evil: string;
/** Acme's own. */
let known: Known;
/** Of the same shape, and nobody's. */
let nobodys: Known;

const call = async (
  key: string | null,
  { method, ...request }: { method: string; path: string; body?: unknown },
) => await callApi(factory.backend.siteUrl, key, method, request.path, request.body);

async function made(method: string, path: string, body?: unknown): Promise<ApiAnswer["json"]> {
  const { status, json, text } = await call(acme, { method, path, body });
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
  return json;
}

async function uploaded(): Promise<string> {
  const { uploadUrl } = await made("POST", "/uploads");
  const response = await fetch(uploadUrl as string, { method: "POST", body: MARK });
  return ((await response.json()) as { storageId: string }).storageId;
}

beforeAll(async () => {
  factory = await Factory.start({
    workers: 1,
    config: {
      lease: { leaseMs: HOUR_MS, heartbeatIntervalMs: 60_000, idleHeartbeatIntervalMs: 600_000 },
      scaling: { reconcileIntervalMs: HOUR_MS, workerLostAfterMs: HOUR_MS, idleTimeoutMs: 12 * HOUR_MS },
    },
  });
  const { backend } = factory;
  [acme, evil] = [await makeKey(backend, "acme"), await makeKey(backend, "evil")];
  operations = described((await call(null, { method: "GET", path: "/openapi.json" })).json);

  const attachments = [{ kind: "document", storageId: await uploaded() }];
  const sent = await made("POST", "/messages", {
    conversationId: `c-${MARK}`,
    agentKey: "default",
    userId: `ada-${MARK}`,
    text: MARK,
    attachments,
  });
  const words = { title: MARK, text: MARK };
  const schedule = { kind: "manual" };
  await made("PUT", `/users/ada-${MARK}/binding`, { agentKey: "default" });
  await made("POST", "/push-templates", { templateKey: `t-${MARK}`, ...words, schedule });
  const job = await made("POST", "/push-jobs", {
    userId: `ada-${MARK}`,
    ...words,
    timeZone: "UTC",
    schedule,
  });
  const endpoint = await made("POST", "/webhook-endpoints", { url: `https://acme.example/${MARK}` });
  const broadcast = await made("POST", "/broadcasts", words);
  const pairing = await made("POST", "/pairing-codes", { userId: `bea-${MARK}`, agentKey: "default" });
  const shared = { agentKey: "default", timeZone: "UTC", url: "https://evil.example/hook" };
  known = {
    ...shared,
    conversationId: sent.conversationId,
    messageId: sent.messageId,
    attachments,
    userId: `ada-${MARK}`,
    templateKey: `t-${MARK}`,
    jobId: job.jobId,
    endpointId: endpoint.endpointId,
    broadcastId: broadcast.broadcastId,
    code: pairing.code,
  };
  nobodys = {
    ...shared,
    conversationId: "c-of-nobody",
    messageId: "m-of-nobody",
    attachments: [{ kind: "document", storageId: "s-of-nobody" }],
    userId: "u-of-nobody",
    templateKey: "t-of-nobody",
    jobId: "j-of-nobody",
    endpointId: "e-of-nobody",
    broadcastId: "b-of-nobody",
    code: "code-of-nobody",
  };
});

afterAll(async () => {
  await factory?.close();
});

type Rows = Map<string, string>;

/** Every document of the tables that hold what people own, by its id. */
async function readRows(): Promise<Rows> {
  const rows: Rows = new Map();
  for (const [table, text] of Object.entries(await factory.backend.exportTables())) {
    if (VOLATILE.some((name) => table.startsWith(name))) continue;
    for (const row of JSON.parse(text) as Array<{ _id: string }>) {
      rows.set(`${table} ${row._id}`, JSON.stringify(row));
    }
  }
  return rows;
}

/** All rows but evil's own are as they were, and no new one speaks of acme or of anything that it made. */
async function expectUntouched(before: Rows): Promise<void> {
  const after = await readRows();
  for (const [row, text] of before) {
    if (!text.includes('"companyId":"evil"')) expect(after.get(row), row).toBe(text);
  }
  const ids = [known["messageId"], known["jobId"], known["endpointId"], known["broadcastId"], "acme", MARK];
  for (const [row, text] of after) {
    if (before.has(row)) continue;
    for (const id of ids)
      expect(text.includes(String(id)), `${row} names ${String(id)}: ${text}`).toBe(false);
  }
}

/** An answer without what differs between two askings of the same thing. */
function plain({ status, text }: ApiAnswer, named: Known): string {
  const { attachments, ...ids } = named;
  const [file] = attachments as Array<{ storageId: string }>;
  let said = text.replace(/"requestId":"[^"]*"/, "");
  for (const id of [...Object.values(ids), file?.storageId]) said = said.replaceAll(String(id), "…");
  return `${status} ${said}`;
}

describe("the key of another company", () => {
  /**
   * Done, in a name space of the caller's own. Each was looked at: it reads and writes under the key's company, and
   * names nothing that the factory gave out.
   */
  const OWN = [
    "bindUser",
    "createPairingCode",
    "createPushTemplate",
    "createUpload",
    "createWebhookEndpoint",
    "getBinding",
    "listAgents",
    "listPushJobs",
    "listPushTemplates",
    "listWebhookEndpoints",
    "revokeBinding",
    "sendBroadcast",
  ];

  test("reads what is acme's like what does not exist, and changes nothing of it", async () => {
    const before = await readRows();
    const done: string[] = [];
    for (const entry of operations) {
      const { method, operation } = entry;
      const id = operation["operationId"] as string;
      // Fields that evil chooses for itself say nothing about acme when they come back.
      const own = OWN.includes(id) ? { ...known, templateKey: "t-of-evil", userId: "u-of-evil" } : known;
      const answer = await call(evil, { method, ...requestNaming(entry, own) });
      if (answer.status < 300) done.push(id);
      else {
        expect([403, 404], `${id}: ${answer.text}`).toContain(answer.status);
        const unknown = await call(evil, { method, ...requestNaming(entry, nobodys) });
        expect(plain(answer, own), id).toBe(plain(unknown, nobodys));
      }
      const sent = JSON.stringify(requestNaming(entry, own));
      if (!sent.includes(MARK)) expect(answer.text, id).not.toContain(MARK);
    }
    expect(done.toSorted()).toEqual(OWN);
    await expectUntouched(before);
  });

  test("finds nobody under the id of acme's person, and ends no binding of hers", async () => {
    const path = `/users/${String(known["userId"])}`;
    const before = await readRows();
    const get = async (what: string) => (await call(evil, { method: "GET", path: `${path}${what}` })).json;
    expect(await get("/push-jobs")).toEqual({ jobs: [] });
    expect(await get("/binding")).toEqual({ active: null, history: [] });
    expect((await call(evil, { method: "DELETE", path: `${path}/binding` })).json).toEqual({ revoked: 0 });
    const after = await readRows();
    for (const [row, text] of before) expect(after.get(row), row).toBe(text);
    expect(await made("GET", `${path}/binding`)).toMatchObject({ active: { agentKey: "default" } });
  });

  test("reaches none of acme's people with a broadcast", async () => {
    const sent = await call(evil, { method: "POST", path: "/broadcasts", body: { title: "t", text: "x" } });
    expect(sent.json).toMatchObject({ totalTargets: 0, enqueued: 0 });
    const report = await call(evil, { method: "GET", path: `/broadcasts/${sent.json.broadcastId}` });
    expect(report.json).toMatchObject({ targets: [] });
  });
});

describe("a key of the same company", () => {
  const keyed = async (options: KeyOptions): Promise<string> =>
    await makeKey(factory.backend, "acme", options);
  const scopeOf = ({ operation }: Described): string => operation["security"][0].serviceKey[0] as string;

  test("without the scope of an operation is refused it, and changes nothing", async () => {
    const scopes = [...new Set(operations.map(scopeOf))];
    const keys = new Map<string, string>();
    for (const missing of scopes) {
      keys.set(missing, await keyed({ scopes: scopes.filter((scope) => scope !== missing) }));
    }
    const before = await readRows();
    for (const entry of operations) {
      const answer = await call(keys.get(scopeOf(entry))!, {
        method: entry.method,
        ...requestNaming(entry, known),
      });
      expect(answer.status, `${entry.operation["operationId"]}: ${answer.text}`).toBe(403);
      expect(answer.json.error.message).toBe(`This service key lacks the scope '${scopeOf(entry)}'`);
    }
    expect(await readRows()).toEqual(before);
  });

  test("that is limited to another agent reaches neither people nor messages of this one", async () => {
    const limited = await keyed({ agentKeys: ["other"] });
    const before = await readRows();
    const done: string[] = [];
    for (const entry of operations) {
      const { method, operation } = entry;
      const answer = await call(limited, { method, ...requestNaming(entry, known) });
      if (answer.status < 300) done.push(operation["operationId"]);
      else expect([403, 404], `${operation["operationId"]}: ${answer.text}`).toContain(answer.status);
      expect(answer.text, operation["operationId"]).not.toContain(`"${MARK}"`);
    }
    // Which agents it may use (none of these), a place for a file, and a person of whom it may know no binding.
    expect(done.toSorted()).toEqual(["createUpload", "getBinding", "listAgents"]);
    const binding = await call(limited, { method: "GET", path: `/users/${String(known["userId"])}/binding` });
    expect(binding.json).toEqual({ active: null, history: [] });
    expect((await call(limited, { method: "GET", path: "/agents" })).json).toEqual({ agents: [] });
    // Nor with an agent of its own in a conversation of this one, where a repeated key would name its message.
    const intruding = {
      conversationId: known["conversationId"],
      agentKey: "other",
      userId: "eve",
      text: "x",
    };
    expect((await call(limited, { method: "POST", path: "/messages", body: intruding })).status).toBe(403);
    expect(await readRows()).toEqual(before);
  });
});

test("an operator's function that takes a company acts on that company alone", async () => {
  const before = await readRows();
  const { functions } = await readDeployed(factory.backend);
  const scoped = functions.filter(
    ({ path, args }) =>
      path.startsWith("factory:") && args.type === "object" && args.value["companyId"] !== undefined,
  );
  expect(scoped.length).toBeGreaterThan(10);
  const named = {
    ...known,
    companyId: "evil",
    pushJobs: known["jobId"],
    broadcasts: known["broadcastId"],
    // What evil makes for itself carries evil's own words.
    consumerUserId: "u-of-evil",
    templateKey: "t-of-evil-too",
    source: "manual",
    schedule: { kind: "manual" },
    ttlMs: 60_000,
    scopes: ["agents:read"],
    requestsPerMinute: 60,
    conversationId: "c-of-evil",
  };
  for (const { path, kind, args } of scoped) {
    const answer = await factory.backend.call(kind, path, acceptable(args, named) as object).then(
      ({ value }) => JSON.stringify(value),
      (error: unknown) => {
        if (error instanceof CallRefused) return JSON.stringify(error.data ?? error.message);
        throw error;
      },
    );
    expect(answer, path).not.toContain(MARK);
    expect(answer, path).not.toContain("acme");
  }
  await expectUntouched(before);
});

describe("a bot", () => {
  const ofDefault = "telegram.botToken.default";
  const ofSupport = "telegram.botToken.support";

  async function update(path: string, header: string, text: string): Promise<ApiAnswer> {
    const response = await fetch(`${factory.backend.siteUrl}/agent-factory/telegram/webhook${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "X-Telegram-Bot-Api-Secret-Token": header },
      body: JSON.stringify({
        update_id: 71,
        message: {
          message_id: 1,
          date: 1_800_000_000,
          chat: { id: 77, type: "private" },
          from: { id: 77, is_bot: false, first_name: "Eve" },
          text,
        },
      }),
    });
    const answer = await response.text();
    return { status: response.status, text: answer, json: JSON.parse(answer) };
  }

  beforeAll(async () => {
    const { backend } = factory;
    const secret = { secretRef: ofSupport, plaintextValue: "901:token-of-the-other-bot" };
    await backend.call("action", "factory:importSecret", secret);
    const profile = { version: "1", soulMd: "You help.", skills: [], secretsRef: [], enabled: true };
    await backend.call("mutation", "factory:configureAgent", { agentKey: "support", ...profile });
  });

  test("is not let in by the secret of another, whichever path it comes on", async () => {
    const before = await readRows();
    for (const [path, ref] of [
      ["", ofSupport],
      ["/support", ofDefault],
      ["/default", ofSupport],
      ["/nobody", ofSupport],
    ] as const) {
      expect((await update(path, webhookHeader(ref), "hello")).status, `${ref} on '${path}'`).toBe(403);
    }
    expect(await readRows()).toEqual(before);
  });

  test("does not take the pairing code of another bot's agent, and the code stays good", async () => {
    const refused = await update("/support", webhookHeader(ofSupport), `/start ${String(known["code"])}`);
    expect(refused.json).toMatchObject({ pairing: { status: "failed", error: "Pairing code not found" } });
    expect(await made("POST", "/pairing-codes/status", { code: known["code"] })).toMatchObject({
      status: "pending",
    });
  });
});
