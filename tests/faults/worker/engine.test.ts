import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ChatRequest, type ModelReply, textOf } from "../../../runtime/worker/testing/model.ts";
import {
  signalGateway,
  startTestWorker,
  type TestWorker,
  until,
} from "../../../runtime/worker/testing/worker.ts";

let site: TestWorker;
/** What the model does with its next requests, in order; then it answers. */
let script: ModelReply[] = [];

/** How the model fails a conversation in which these words were said, for as long as they stand here. */
const failing = new Map<string, ModelReply>();

const reply = (request: ChatRequest): ModelReply => {
  const said = request.messages.filter((message) => message.role === "user").map(textOf);
  // Not the last ones alone: the engine itself asks again in words of its own.
  const failure = [...failing].find(([words]) => said.some((text) => text.includes(words)))?.[1];
  return failure ?? script.shift() ?? { kind: "text", text: `I know ${said.length} of your messages` };
};

beforeAll(async () => {
  site = await startTestWorker(reply);
}, 180_000);
afterAll(async () => {
  await site?.close();
});

const ask = (text: string, conversationId: string) =>
  site.deployment.finished(site.deployment.enqueue(conversationId, text));
const hungTurn = async (conversationId: string) => {
  script = [{ kind: "hang" }];
  const asked = site.model.requests.length;
  const id = site.deployment.enqueue(conversationId, "are you there?");
  await until("the model to be asked", () => site.model.requests.length > asked);
  return id;
};

test("a gateway that is killed under a turn is replaced, and the turn is answered under the same lease", async () => {
  const { deployment } = site;
  await ask("remember the word obsidian", "killed");
  const id = await hungTurn("killed");
  const before = site.worker.enginePid();
  deployment.calls.length = 0;
  signalGateway(before, "SIGKILL");
  const message = await deployment.finished(id);
  expect(message).toMatchObject({ status: "done", attempts: 1 });
  expect(message.answer?.text).toBe("I know 2 of your messages");
  expect(JSON.stringify(site.model.requests.at(-1))).toContain("obsidian");
  expect(site.worker.enginePid()).not.toBe(before);
  expect(deployment.calls.filter((call) => call === "complete")).toHaveLength(1);
}, 120_000);

test("a gateway that hangs is replaced, and its turn is answered", async () => {
  const { deployment } = site;
  deployment.turnTimeoutMs = 240_000;
  const id = await hungTurn("hung");
  deployment.turnTimeoutMs = 60_000;
  const before = site.worker.enginePid();
  signalGateway(before, "SIGSTOP");
  const message = await deployment.finished(id);
  expect(message).toMatchObject({ status: "done", attempts: 1 });
  expect(site.worker.enginePid()).not.toBe(before);
}, 240_000);

/** A first attempt that the model fails, and a second one that it answers. */
async function expectFailedOnce(what: string, failure: ModelReply): Promise<void> {
  const { deployment } = site;
  const words = `hello, you who ${what}`;
  failing.set(words, failure);
  const id = deployment.enqueue(`model ${what}`, words);
  await until("the failure", () => deployment.message(id).errors.length > 0, 150_000);
  failing.delete(words);
  const message = await deployment.finished(id);
  expect(message.answer?.text).toBe("I know 1 of your messages");
}

describe("a model fails the attempt, and answers the next one, when it", () => {
  // The engine itself asks such a model again for most of a minute; they wait for that side by side.
  test.concurrent.each<[string, ModelReply]>([
    ["answers 500", { kind: "status", status: 500 }],
    ["answers 429", { kind: "status", status: 429 }],
    ["answers with a page", { kind: "raw", body: "<html>Bad Gateway</html>" }],
    ["breaks off in the middle of a stream", { kind: "break" }],
  ])("%s", expectFailedOnce, 240_000);

  test.each<[string, ModelReply]>([
    ["answers with a stream of garbage", { kind: "raw", body: "data: null\n\ndata: [1]\n\ndata: {\n\n" }],
    ["answers with nothing", { kind: "raw", body: "data: [DONE]\n\n" }],
  ])("%s", expectFailedOnce, 240_000);
});

test("a slow model is waited for, with the lease kept, and let finish", async () => {
  const { deployment } = site;
  deployment.heartbeatIntervalMs = 500;
  deployment.calls.length = 0;
  const words = Array.from({ length: 20 }, (_, index) => `word${index} `);
  script = [{ kind: "slowly", words, pauseMs: 250 }];
  const message = await deployment.finished(deployment.enqueue("slow", "take your time"));
  deployment.heartbeatIntervalMs = 5_000;
  expect(message).toMatchObject({ status: "done", attempts: 1, answer: { text: words.join("").trim() } });
  expect(deployment.calls.filter((call) => call === "heartbeat").length).toBeGreaterThan(3);
}, 120_000);

// Last: the engine uses a key that was refused no more for a while, whoever asks.
test("a model that refuses the key fails the attempt, and the next one is answered", async () => {
  await expectFailedOnce("answers 401", { kind: "status", status: 401 });
}, 240_000);
