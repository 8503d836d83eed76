/**
 * What a worker logs, in full: every line of turns that go well and of turns that fail with words of a person, of a
 * model or of a provider in their errors. Lines hold ids, and neither content nor a secret.
 */
import { Writable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Fault, prepareStandIn } from "../testing/standIn.ts";
import { startTestWorker, type TestWorker, until } from "../testing/worker.ts";
import { createLog } from "./log.ts";

const WORDS = "heliotrope";
const lines: string[] = [];
let misbehave: (fault: Fault | null) => void;
let site: TestWorker;
beforeAll(async () => {
  const memory = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(...String(chunk).split("\n").filter(Boolean));
      done();
    },
  });
  site = await startTestWorker(
    () => ({ kind: "text", text: "never asked" }),
    {},
    {
      log: createLog("debug", { workerId: "w-test-1" }, memory),
      prepareOpenclaw: async (dir) => {
        misbehave = await prepareStandIn(dir);
      },
    },
  );
});
afterAll(async () => {
  await site?.close();
});

const ask = async (conversationId: string) => {
  const { deployment } = site;
  const id = deployment.enqueue(conversationId, `the word is ${WORDS}`);
  const message = await deployment.finished(id);
  const begun = message.errors.length + (message.status === "done" ? 1 : 0);
  await until(
    "the last line of the turn",
    () => entries().filter((entry) => isEndOf(entry, id)).length === begun,
  );
  return message;
};
const isEndOf = (entry: Record<string, unknown>, id: string): boolean =>
  entry["msg"] === "Turn ended" && entry["messageId"] === id;
const entries = (): Array<Record<string, unknown>> =>
  lines.map((line) => JSON.parse(line) as Record<string, unknown>);

test("a turn's lines name its message, its conversation and its lease", async () => {
  const { id } = await ask("well");
  for (const msg of ["Turn begun", "Turn ended"]) {
    const entry = entries().find((candidate) => candidate["msg"] === msg && candidate["messageId"] === id);
    expect(entry).toMatchObject({
      workerId: "w-test-1",
      conversationId: "well",
      leaseId: expect.any(String),
    });
  }
});

const refusal = (code: string) => ({
  type: "res",
  id: "<id>",
  ok: false,
  error: { code, message: `no: ${WORDS}` },
});
test.each<[string, Fault]>([
  [
    "a failed run",
    { at: "agent", payload: { status: "error", error: { message: `a provider quotes ${WORDS}` } } },
  ],
  ["a run that timed out", { at: "agent", payload: { status: "timeout", summary: `late: ${WORDS}` } }],
  [
    "an error that the provider put into the answer",
    {
      at: "agent",
      payload: { status: "ok", result: { payloads: [{ text: `400: ${WORDS}`, isError: true }] } },
    },
  ],
  [
    "an error that costs the gateway",
    {
      at: "agent",
      payload: { status: "error", error: { message: `Agent database cleanup failed for ${WORDS}` } },
    },
  ],
  ["a refused call", { at: "sessions.create", frame: refusal("INVALID_REQUEST") }],
  ["a call that is refused as unavailable", { at: "bridge.session.setUp", frame: refusal("UNAVAILABLE") }],
  ["a refused run", { at: "agent", frame: refusal("INVALID_REQUEST") }],
])("%s leaves no word of a person and no secret in any line", async (what, fault) => {
  misbehave(fault);
  const before = lines.length;
  await ask(what);
  const logged = lines.slice(before).join("\n");
  expect(logged).toContain("Turn ended");
  expect(logged).not.toContain(WORDS);
  expect(lines.join("\n")).not.toMatch(/test-token|test-key/);
});

test("what a provider says of a failure is kept for operators, but for the key that it repeats", async () => {
  misbehave({ at: "agent", payload: { status: "error", error: { message: "401: test-key is not a key" } } });
  expect((await ask("a refused key")).errors).toEqual(["The turn ended failed: 401: [key] is not a key"]);
});

test("a file that cannot be restored is not named, what is wrong with it is", async () => {
  await ask("restored");
  const { deployment } = site;
  const snapshots = deployment.snapshotsOf("restored");
  const latest = snapshots.at(-1);
  if (latest === undefined) throw new Error("nothing was saved");
  const [file] = latest.files;
  if (file === undefined) throw new Error("the snapshot is empty");
  const files = [{ ...file, path: `../${WORDS}.md` }];
  snapshots.push({ ...latest, id: "elsewhere", version: latest.version + 1, files });
  const before = lines.length;
  expect((await ask("restored")).errors[0]).toContain(WORDS);
  const logged = lines.slice(before).join("\n");
  expect(logged).toContain("RestoreError: restore refused");
  expect(logged).not.toContain(WORDS);
});
