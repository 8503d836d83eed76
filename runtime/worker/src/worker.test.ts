import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
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
  expect(changed.map((file) => file.path)).toEqual([".factory/transcript/00000.json"]);
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

const LONG_TURNS = 150;
/** A conversation of more than 4 MiB: beyond a document of the backend, and beyond one call to the gateway. */
const longHistory = Array.from({ length: LONG_TURNS }, (_, index) => [
  { role: "user" as const, content: `question ${index} ${"x".repeat(15_000)}`, at: index },
  { role: "assistant" as const, content: `answer ${index} ${"y".repeat(15_000)}`, at: index },
]).flat();

test("a transcript of several megabytes is kept in small pieces, and a turn uploads the last one", async () => {
  const { deployment } = site;
  deployment.bundleOverrides = { history: longHistory };
  const said = `I know ${LONG_TURNS + 1} of your messages`;
  expect((await ask("conv-long", "remember the word saffron")).answer?.text).toBe(said);
  deployment.bundleOverrides = {};
  const before = deployment.snapshotsOf("conv-long").at(-1)?.files ?? [];
  const pieces = before.filter(({ path }) => path.startsWith(".factory/transcript/"));
  expect(pieces.length).toBeGreaterThan(10);
  for (const piece of pieces) expect(piece.sizeBytes).toBeLessThan(1024 * 1024);
  await ask("conv-long", "and again");
  const known = new Set(before.map(({ sha256 }) => sha256));
  const changed = deployment
    .snapshotsOf("conv-long")
    .at(-1)
    ?.files.filter(({ sha256 }) => !known.has(sha256));
  expect(changed).toHaveLength(1);
}, 120_000);

test("a dedicated worker is wiped for its owner; once commands could run, it ends when another one comes", async () => {
  const { deployment, model } = site;
  const before = deployment.profile;
  deployment.turnTimeoutMs = 300_000; // The turn of a new owner waits for a gateway.
  await ask("conv-move", "remember the word heliotrope");
  await writeFile(join(site.dataDir, "left-behind"), "of an earlier owner");
  deployment.dedication = "conversation";
  deployment.profile = { ...before, revision: 50, toolPolicy: { allow: ["exec"] } };
  expect((await ask("conv-move", "which word was it?")).answer?.text).toBe("I know 2 of your messages");
  expect(model.requests.at(-1)?.tools?.map((tool) => tool.function.name)).toContain("exec");
  expect(await readdir(site.dataDir)).not.toContain("left-behind");
  expect(await readdir(join(site.dataDir, "conversations"))).toHaveLength(1);

  const other = deployment.enqueue("conv-other", "hello");
  await site.worker.stopped;
  expect(deployment.message(other)).toMatchObject({ status: "queued", attempts: 0 });
  expect(deployment.stoppedReasons).toEqual(["commands ran here, and another owner came"]);
  deployment.profile = { ...before, revision: 51 };
  deployment.dedication = "none";
  deployment.turnTimeoutMs = 60_000;
}, 400_000);

test("a worker on an empty disk remembers what another one answered, however long it was", async () => {
  await rm(site.dataDir, { recursive: true });
  await site.boot();
  const again = await ask("conv-move", "which word was it?");
  expect(again.answer?.text).toBe("I know 3 of your messages");
  expect(JSON.stringify(site.model.requests.at(-1))).toContain("heliotrope");
  const long = await ask("conv-long", "which word was it?");
  expect(long.answer?.text).toBe(`I know ${LONG_TURNS + 3} of your messages`);
  expect(JSON.stringify(site.model.requests.at(-1))).toContain("saffron");
}, 240_000);

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
