import { rm } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ChatRequest, textOf } from "../testing/model.ts";
import { startTestWorker, type TestWorker, until } from "../testing/worker.ts";

let site: TestWorker;
/** Set by a test that wants turns to wait for their abortion. */
let hang = false;
/** Set by a test that wants to watch the model write. */
let slowly: { words: string[]; pauseMs: number } | null = null;

const userWords = (request: ChatRequest): string[] =>
  request.messages.filter((message) => message.role === "user").map(textOf);

beforeAll(async () => {
  site = await startTestWorker((request) =>
    hang
      ? { kind: "hang" }
      : slowly !== null
        ? { kind: "slowly", ...slowly }
        : { kind: "text", text: `I know ${userWords(request).length} of your messages` },
  );
}, 180_000);
afterAll(async () => {
  await site?.close();
});

const ask = (conversationId: string, text: string) =>
  site.deployment.finished(site.deployment.enqueue(conversationId, text));
const modelIsAsked = (count: number) =>
  until("the model to be asked", () => site.model.requests.length >= count);

test("a worker reports ready with its boot time, its probe turn and the image's skills", () => {
  expect(site.deployment.readyReports).toHaveLength(1);
  const [report] = site.deployment.readyReports;
  expect(report?.skills.map((skill) => skill.name)).toEqual(["plain-language"]);
  expect(report?.gatewayBootMs).toBeGreaterThan(0);
  expect(report?.probeTurnMs).toBeGreaterThan(0);
});

test("two conversations are answered, and each second turn remembers its own first one alone", async () => {
  const { deployment, model } = site;
  const first = [
    deployment.enqueue("conv-a", "my cat is Minka"),
    deployment.enqueue("conv-b", "my dog is Rex"),
  ];
  for (const id of first)
    expect((await deployment.finished(id)).answer?.text).toBe("I know 1 of your messages");
  expect((await ask("conv-a", "what is my cat called?")).answer?.text).toBe("I know 2 of your messages");
  const prompt = JSON.stringify(model.requests.at(-1));
  expect(prompt).toContain("my cat is Minka");
  expect(prompt).not.toContain("Rex");
});

test("the profile's soul and client notes reach the model", async () => {
  await ask("conv-profile", "hello");
  const system = textOf(site.model.requests.at(-1)?.messages[0]);
  expect(system).toContain("You are the soul of this test.");
  expect(system).toContain("The client of this test.");
});

test("an edited profile reaches a conversation that the worker holds already", async () => {
  const { deployment } = site;
  await ask("conv-edit", "hello");
  deployment.profile = { ...deployment.profile, revision: 2, soulMd: "You are the second soul." };
  await ask("conv-edit", "hello again");
  const system = textOf(site.model.requests.at(-1)?.messages[0]);
  expect(system).toContain("You are the second soul.");
  expect(system).not.toContain("You are the soul of this test.");
});

test.each(["/reset", "/new start over", "  /RESET"])(
  "the words %j are plain text, not a command",
  async (words) => {
    const conversationId = `conv-command-${words.trim()}`;
    await ask(conversationId, "remember the number 4711");
    const answered = await ask(conversationId, words);
    expect(answered.answer?.text).toBe("I know 2 of your messages");
    expect(JSON.stringify(site.model.requests.at(-1))).toContain("4711");
  },
);

test("an answered message takes six calls, and only the changed files travel", async () => {
  const { deployment } = site;
  await ask("conv-calls", "first");
  await until("the worker to be idle", () => site.worker.loop.activeTurns() === 0);
  deployment.calls.length = 0;
  const stored = deployment.snapshotsOf("conv-calls").at(-1)?.files ?? [];
  await ask("conv-calls", "second");
  await until("the last claim", () => deployment.calls.at(-1) === "claim");
  const calls = deployment.calls.filter((call) => call !== "heartbeat");
  expect(calls).toEqual(["claim", "getHydrationBundle", "prepare", "finalize", "complete", "claim"]);
  const changed = (deployment.snapshotsOf("conv-calls").at(-1)?.files ?? []).filter(
    (file) => !stored.some((before) => before.sha256 === file.sha256),
  );
  expect(changed.map((file) => file.path)).toEqual([".factory/transcript.json"]);
});

test("what the model writes is shown while it writes, and only where the bundle asks for it", async () => {
  const { deployment } = site;
  const words = Array.from({ length: 30 }, (_, index) => `word-${index} `);
  slowly = { words, pauseMs: 20 };
  const quiet = await ask("conv-no-preview", "write slowly");
  expect(deployment.previews).toEqual([]);
  deployment.bundleOverrides = { previewIntervalMs: 100 };
  const shown = await ask("conv-preview", "write slowly");
  deployment.bundleOverrides = {};
  slowly = null;
  expect(shown.answer?.text).toBe(words.join("").trim());
  expect(quiet.answer?.text).toBe(shown.answer?.text);
  expect(deployment.previews.length).toBeGreaterThanOrEqual(2);
  for (const text of deployment.previews) expect(words.join("").startsWith(text)).toBe(true);
  const lengths = deployment.previews.map((text) => text.length);
  expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
}, 60_000);

test("a cancelled message's turn is aborted, the model is let go and nothing is answered", async () => {
  const { deployment, model } = site;
  hang = true;
  const asked = model.requests.length;
  const abandoned = model.abandoned;
  const id = deployment.enqueue("conv-cancel", "a long story please");
  await modelIsAsked(asked + 1);
  hang = false;
  deployment.setInbox({ cancelled: [id] });
  await until("the release", () => deployment.calls.includes("release:cancelled"));
  expect(deployment.message(id).answer).toBeUndefined();
  await until("the model to be let go", () => model.abandoned > abandoned);
  deployment.setInbox({ cancelled: [] });
  await deployment.finished(id); // The fake requeues what is released; the real backend ends it.
});

test("a worker that loses its lease aborts the turn at once and says nothing more of it", async () => {
  const { deployment, model } = site;
  deployment.heartbeatIntervalMs = 200;
  hang = true;
  const asked = model.requests.length;
  const id = deployment.enqueue("conv-lost", "hello");
  await modelIsAsked(asked + 1);
  deployment.calls.length = 0;
  deployment.steal(id);
  hang = false;
  await until("the turn to end", () => site.worker.loop.activeTurns() === 0, 10_000);
  deployment.heartbeatIntervalMs = 5_000;
  expect(deployment.calls.filter((call) => call !== "heartbeat" && call !== "claim")).toEqual([]);
  expect(deployment.message(id).answer).toBeUndefined();
});

test("a turn that takes too long is failed once, as retryable, and is not remembered", async () => {
  const { deployment } = site;
  deployment.turnTimeoutMs = 1_500;
  hang = true;
  const id = deployment.enqueue("conv-slow", "the forgotten words");
  await until("the failure", () => deployment.calls.includes("fail:retryable"));
  hang = false;
  deployment.turnTimeoutMs = 60_000;
  const message = await deployment.finished(id);
  expect(message.errors[0]).toContain("longer than 1500 ms");
  expect(message.answer?.text).toBe("I know 1 of your messages");
});

test("a worker on an empty disk remembers what another one answered", async () => {
  await ask("conv-move", "remember the word heliotrope");
  await site.worker.stop("moved");
  expect(site.deployment.stoppedReasons).toEqual(["moved"]);
  await rm(site.dataDir, { recursive: true });
  await site.boot();
  const again = await ask("conv-move", "which word was it?");
  expect(again.answer?.text).toBe("I know 2 of your messages");
  expect(JSON.stringify(site.model.requests.at(-1))).toContain("heliotrope");
}, 180_000);

test("a drain whose time is over releases the turn without an attempt spent", async () => {
  const { deployment, model } = site;
  hang = true;
  const asked = model.requests.length;
  const id = deployment.enqueue("conv-drain", "hello");
  await modelIsAsked(asked + 1);
  deployment.setInbox({ draining: true, drainRemainingMs: 300 });
  await site.worker.stopped;
  expect(deployment.calls).toContain("release:drain");
  expect(deployment.message(id)).toMatchObject({ status: "queued", attempts: 0 });
  expect(deployment.stoppedReasons).toHaveLength(2);
}, 60_000);
