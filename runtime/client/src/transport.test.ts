/** What happens when the network or something on the way misbehaves. The API itself is met in client.test.ts. */
import { describe, expect, test } from "vitest";
import { AgentFactoryError, type ClientOptions, createClient } from "./index.ts";

type Step = Response | Error | (() => Response);
const refusal = (status: number, headers: Record<string, string> = {}): Response =>
  Response.json(
    { error: { code: "rate_limited", message: "later", retryable: true, requestId: "r" } },
    { status, headers },
  );

/** A client whose requests meet these steps, one after the other; waiting takes no time but moves the clock. */
function clientMeeting(steps: Step[], options: Partial<ClientOptions> = {}) {
  const requests: Array<{ url: string; init: RequestInit }> = [];
  const waits: number[] = [];
  let now = 0;
  const client = createClient({
    siteUrl: "https://happy-otter-1.convex.site",
    serviceKey: "afk_id_secret",
    surroundings: {
      // oxlint-disable-next-line typescript/require-await -- fetch is asynchronous, its stand-in has nothing to await
      fetch: async (url, init = {}) => {
        requests.push({ url: url as string, init });
        const step = steps.shift();
        if (step === undefined) throw new Error("more requests than the test foresees");
        if (step instanceof Error) throw step;
        return typeof step === "function" ? step() : step;
      },
      // oxlint-disable-next-line typescript/require-await -- as above
      wait: async (ms) => {
        waits.push(ms);
        now += ms;
      },
      now: () => now,
      random: () => 0,
    },
    ...options,
  });
  return { client, requests, waits };
}

const lost = new TypeError("fetch failed");
const accepted = { messageId: "m", conversationId: "api:acme:c", duplicate: false };
const hello = { conversationId: "c", agentKey: "default", userId: "ada", text: "hello" };
const page = (contents: string[], next: number): Response =>
  Response.json({
    conversationId: "api:acme:c",
    messages: contents.map((content, index) => ({
      seq: next - contents.length + 1 + index,
      role: content === "question" ? "user" : "assistant",
      content,
      at: 0,
    })),
    next,
    more: false,
  });

test("an enqueue whose answer is lost is sent again with the same idempotency key", async () => {
  const { client, requests } = clientMeeting([lost, refusal(503), Response.json(accepted, { status: 202 })]);
  expect(await client.enqueue(hello)).toEqual(accepted);
  const keys = requests.map(({ init }) => new Headers(init.headers).get("idempotency-key"));
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
  expect(requests[0]?.init.body).toBe(JSON.stringify(hello));
});

describe("the error of a broadcast invites who chose its key to repeat it, and nobody else, when its last answer", () => {
  const words = { title: "t", text: "t" };
  test.each<[string, Step, object]>([
    ["is lost", lost, { code: "network", message: "happy-otter-1.convex.site could not be reached" }],
    ["is a 503", () => refusal(503), { code: "rate_limited", status: 503 }],
    [
      "is a proxy's",
      () => new Response("<html>", { status: 502 }),
      { code: "malformed_answer", status: 502 },
    ],
  ])("%s", async (_, last, shape) => {
    const retry = { attemptsMax: 2 };
    const { client, requests } = clientMeeting([lost, last, lost, last], { retry });
    const key = () => new Headers(requests[0]?.init.headers).get("idempotency-key");
    await expect(client.sendBroadcastToAllActiveAgents(words)).rejects.toSatisfy((error) => {
      expect(error).toMatchObject({ ...shape, retryable: false, idempotencyKey: key() });
      return true;
    });
    const own = client.sendBroadcastToAllActiveAgents({ ...words, idempotencyKey: "k" });
    await expect(own).rejects.toMatchObject({ ...shape, retryable: true, idempotencyKey: "k" });
  });
});

test("a broadcast that was refused with 429 is sent again when the API asked for", async () => {
  const { client, waits } = clientMeeting([
    refusal(429, { "Retry-After": "7" }),
    Response.json({ broadcastId: "b" }, { status: 202 }),
  ]);
  await client.sendBroadcastToAllActiveAgents({ title: "t", text: "t" });
  expect(waits).toEqual([7_000]);
});

test("retries end, and the last failure is what the caller gets", async () => {
  const { client, requests, waits } = clientMeeting([lost, lost, lost, refusal(500)]);
  await expect(client.listAgents()).rejects.toMatchObject({ status: 500, requestId: "r" });
  expect(requests).toHaveLength(4);
  expect(waits).toEqual([125, 250, 500]);
});

test("a deletion whose first answer was lost counts as done when nothing is left", async () => {
  const gone = () => refusal(404);
  const { client } = clientMeeting([lost, gone, gone]);
  expect(await client.deletePushJob("j")).toEqual({ ok: true });
  await expect(client.deletePushJob("j")).rejects.toMatchObject({ status: 404 });
});

test("a proxy's page is an error that tells the status and shows nothing of the page", async () => {
  const { client } = clientMeeting([new Response("<html>secret</html>", { status: 404 })]);
  await expect(client.listAgents()).rejects.toMatchObject({
    code: "malformed_answer",
    status: 404,
    message: expect.not.stringContaining("secret"),
  });
});

test("a request that gets no answer in time fails as timeout", async () => {
  const { client } = clientMeeting([], {
    timeoutMs: 20,
    retry: { attemptsMax: 1 },
    surroundings: {
      fetch: (_url, init) =>
        new Promise((_resolve, reject) => {
          init?.signal?.addEventListener("abort", () => reject(init.signal?.reason as Error));
        }),
    },
  });
  // AbortSignal.timeout does not keep Node alive; the test's own timer does.
  const alive = setTimeout(() => undefined, 5_000);
  await expect(client.listAgents()).rejects.toMatchObject({ code: "timeout", status: 0 });
  clearTimeout(alive);
});

test("the key goes nowhere but into its header, and follows no redirect", async () => {
  const { client, requests } = clientMeeting([lost], { retry: { attemptsMax: 1 } });
  const error: unknown = await client.listAgents().catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(AgentFactoryError);
  expect(JSON.stringify([error, (error as Error).message, (error as Error).stack])).not.toContain("afk_");
  expect(requests[0]?.url).toBe("https://happy-otter-1.convex.site/agent-factory/v1/agents");
  expect(requests[0]?.init.redirect).toBe("error");
});

test("an id cannot lead to another operation", async () => {
  const { client, requests } = clientMeeting([Response.json({})]);
  await client.getMessage("a/../../agents?x=1");
  expect(new URL(requests[0]?.url ?? "").pathname).toBe(
    "/agent-factory/v1/messages/a%2F..%2F..%2Fagents%3Fx%3D1",
  );
  await expect(client.getMessage("..")).rejects.toThrow("messageId must be an id");
  await expect(client.getMessage("")).rejects.toThrow("messageId must be an id");
});

test("a wrong site URL or key is refused at once, without showing the key", () => {
  expect(() => createClient({ siteUrl: "happy-otter", serviceKey: "afk_a_b" })).toThrow("siteUrl must be");
  const key = "sk_live_1";
  expect(() => createClient({ siteUrl: "https://a.b", serviceKey: key })).toThrow(/^(?!.*sk_live).*afk_/);
});

test("a subscription endures an outage and goes on from its cursor", async () => {
  const { client, requests } = clientMeeting(
    [page(["question", "first"], 1), lost, lost, page([], 1), page(["second"], 2)],
    { retry: { attemptsMax: 1 } },
  );
  const answers = client.subscribe("c");
  expect((await answers.next()).value?.content).toBe("first");
  expect((await answers.next()).value).toMatchObject({ content: "second", seq: 2 });
  await answers.return();
  const cursors = requests.map(({ url }) => new URL(url).searchParams.get("after"));
  expect(cursors).toEqual(["-1", "1", "1", "1", "1"]);
});

test("a subscription gives up after too many failures in a row, and at once on a permanent one", async () => {
  const enduring = clientMeeting([lost, lost, lost], { retry: { attemptsMax: 1 } });
  const answers = enduring.client.subscribe("c", { outagesMax: 2 });
  await expect(answers.next()).rejects.toMatchObject({ code: "network" });
  expect(enduring.requests).toHaveLength(3);
  const { client } = clientMeeting([
    () => Response.json({ error: { code: "not_found", message: "no", retryable: false } }, { status: 404 }),
  ]);
  await expect(client.subscribe("c").next()).rejects.toMatchObject({ code: "not_found" });
});

test("empty polls that return at once are spaced", async () => {
  const { client, waits } = clientMeeting([page([], -1), page([], -1), page(["answer"], 0)]);
  const answers = client.subscribe("c");
  await answers.next();
  await answers.return();
  expect(waits).toEqual([1_000, 1_000]);
});
