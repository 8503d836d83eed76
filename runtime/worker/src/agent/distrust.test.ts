/**
 * A whole worker whose gateway is a process that says what no gateway says, over real sockets. Whatever that is: the
 * worker lives, the turn is answered under its lease by a gateway that can be trusted, and nothing of what the other
 * one said reaches a person or a snapshot.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Fault, prepareStandIn } from "../../testing/standIn.ts";
import { BINARY, encodeFrame, frameHead } from "../../testing/socketFrames.ts";
import { signalGateway, startTestWorker, type TestWorker, until } from "../../testing/worker.ts";
import { type AgentEngine, createEngine } from "./engine.ts";

/** Often, so that a gateway that only keeps quiet is found out at once. */
const HEALTH_INTERVAL_MS = 400;
/** Failed checks in a row that it takes. */
const HEALTH_MISSES = 5;

let site: TestWorker;
let misbehave: (fault: Fault | null) => void;

const neverAsked = () => ({ kind: "text" as const, text: "there is no model behind a stand-in" });

/** A worker on a stand-in of its own. @param first what the first gateway does. */
function onStandIn(first: Fault | null = null) {
  let tell: (fault: Fault | null) => void = () => undefined;
  let engine: AgentEngine | null = null;
  const starting = startTestWorker(
    neverAsked,
    {},
    {
      makeEngine: (options, hooks) => {
        engine = createEngine({ ...options, healthIntervalMs: HEALTH_INTERVAL_MS }, hooks);
        return engine;
      },
      prepareOpenclaw: async (dir) => {
        tell = await prepareStandIn(dir);
        tell(first);
      },
    },
  );
  return { starting, tell: (fault: Fault | null) => tell(fault), pid: () => engine?.pid() ?? null };
}

beforeAll(async () => {
  const standIn = onStandIn();
  misbehave = standIn.tell;
  site = await standIn.starting;
});
afterAll(async () => {
  await site?.close();
});
beforeEach(() => {
  misbehave(null);
  site.deployment.calls.length = 0;
});

const bytes = (data: Buffer): string => data.toString("base64");
const text = (said: string): string => bytes(encodeFrame(said));

/** Says something, is met by the fault, and asks again: what is remembered then is what was answered. */
async function meet(conversationId: string, fault: Fault) {
  const { deployment } = site;
  const ask = (words: string) => deployment.finished(deployment.enqueue(conversationId, words));
  await ask("the first");
  const before = site.worker.enginePid();
  misbehave(fault);
  const met = await ask("the second");
  expect(met).toMatchObject({ status: "done", attempts: 1, errors: [] });
  expect(met.answer).toEqual({ text: "I know 2 of your messages" });
  expect((await ask("the third")).answer).toEqual({ text: "I know 3 of your messages" });
  // One good answer each: nothing was completed twice, given back or failed.
  expect(deployment.calls.filter((call) => /^complete|^fail:|^release/.test(call))).toEqual(
    Array(3).fill("complete"),
  );
  return { wasReplaced: site.worker.enginePid() !== before };
}

/** As if another worker had served the conversation meanwhile: what this one holds of it is old, and it arrives anew. */
function moveOn(conversationId: string): void {
  const snapshots = site.deployment.snapshotsOf(conversationId);
  const latest = snapshots.at(-1);
  if (latest === undefined) throw new Error("nothing was saved");
  snapshots.push({ ...latest, id: "elsewhere", version: latest.version + 1 });
}

describe("in the middle of a turn, a gateway that", () => {
  test.each<[string, Omit<Fault, "at">]>([
    ["sends what is not JSON", { writes: text("<html>502 Bad Gateway</html>") }],
    ["sends nothing in a frame", { writes: text("") }],
    ["sends null", { writes: text("null") }],
    ["sends a number", { writes: text("7") }],
    ["sends a list", { writes: text("[]") }],
    ["sends an object without a type", { writes: text("{}") }],
    ["sends an event without a name", { frame: { type: "event" } }],
    ["sends an answer without a verdict", { frame: { type: "res", id: "<id>" } }],
    ["sends an answer with a number for an id", { frame: { type: "res", id: 1, ok: true } }],
    ["sends a refusal whose reason is a number", { frame: { type: "res", id: "<id>", ok: false, error: 7 } }],
    ["sends bytes", { writes: bytes(encodeFrame(Buffer.from([0, 255, 1]), BINARY)) }],
    ["sends text that is not UTF-8", { writes: bytes(encodeFrame(Buffer.from([0xc3, 0x28]))) }],
    ["sends a frame of an unknown kind", { writes: bytes(Buffer.from([0x83, 0x00])) }],
    ["speaks HTTP on the socket", { writes: bytes(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")) }],
    [
      "sends half a frame and hangs up",
      { writes: bytes(Buffer.concat([frameHead(1_000), Buffer.alloc(10)])), next: "hangUp" },
    ],
    [
      "sends half a frame and keeps quiet",
      { writes: bytes(Buffer.concat([frameHead(1_000), Buffer.alloc(10)])), next: "mute" },
    ],
    ["announces a frame of a terabyte", { writes: bytes(frameHead(2 ** 40)), next: "mute" }],
    ["sends a frame of 40 MB", { writes: bytes(frameHead(40_000_000)), fills: 40_000_000 }],
    [
      "answers what it was not asked",
      { frame: { type: "res", id: "999999", ok: true, payload: { status: "ok" } } },
    ],
    ["answers everything over HTTP and nothing on the socket", { next: "mute" }],
    ["ends", { next: "exit" }],
  ])("%s is replaced, and the turn is answered", async (what, fault) => {
    expect(await meet(`mid-turn, ${what}`, { at: "midTurn", ...fault })).toEqual({ wasReplaced: true });
  });

  test.each<[string, Omit<Fault, "at">]>([
    ["sends a frame of a type that is not known yet", { frame: { type: "later", of: 1 }, next: "goOn" }],
    [
      "answers a question of the past once more",
      { frame: { type: "res", id: "1", ok: true, payload: null }, next: "goOn" },
    ],
    [
      "tells of a run with events of any shape",
      { frame: { type: "event", event: "agent", payload: null }, next: "goOn" },
    ],
  ])("%s serves on", async (what, fault) => {
    expect(await meet(`mid-turn, ${what}`, { at: "midTurn", ...fault })).toEqual({ wasReplaced: false });
  });
});

describe("a gateway that answers this", () => {
  test.each<[string, string, unknown]>([
    ["a turn", "nothing", null],
    ["a turn", "a word", "ok"],
    ["a turn", "no status", { result: { payloads: [{ text: "garbage" }] } }],
    ["a turn", "no payloads", { status: "ok" }],
    ["a turn", "payloads that are none", { status: "ok", result: { payloads: "garbage" } }],
    ["a turn", "a payload that is a word", { status: "ok", result: { payloads: ["garbage"] } }],
    [
      "a turn",
      "another turn's result",
      { status: "ok", runId: "another", result: { payloads: [{ text: "garbage" }] } },
    ],
    ["a session", "nothing", null],
    ["a session", "no id", { ok: true }],
    ["an export", "nothing", null],
    ["an export", "a transcript that is empty", { messages: [], more: false }],
    ["an export", "messages that are none", { messages: [1, null, "garbage"], more: false }],
    ["an export", "a page that promises more and holds nothing", { messages: [], more: true }],
    ["an import", "another count", { count: 0 }],
  ])("%s: %s, is replaced, and the turn is answered", async (question, what, payload) => {
    const methods: Record<string, string> = {
      "a turn": "agent",
      "a session": "sessions.create",
      "an export": "bridge.transcript.export",
      "an import": "bridge.transcript.import",
    };
    const conversationId = `${question}, ${what}`;
    const { deployment } = site;
    const ask = (words: string) => deployment.finished(deployment.enqueue(conversationId, words));
    await ask("the first");
    if (question === "a session" || question === "an import") moveOn(conversationId);
    const before = site.worker.enginePid();
    misbehave({ at: methods[question] ?? "", payload });
    const met = await ask("the second");
    expect(met).toMatchObject({
      status: "done",
      attempts: 1,
      errors: [],
      answer: { text: "I know 2 of your messages" },
    });
    expect((await ask("the third")).answer).toEqual({ text: "I know 3 of your messages" });
    expect(site.worker.enginePid()).not.toBe(before);
  });
});

describe("an idle gateway whose health check", () => {
  const html = (head: string): Omit<Fault, "at"> => ({
    writes: bytes(Buffer.from(`HTTP/1.1 ${head}\r\nContent-Length: 0\r\n\r\n`)),
    next: "hangUp",
  });
  test.each<[string, Omit<Fault, "at">]>([
    [
      "is answered with what is not HTTP",
      { writes: bytes(Buffer.from("\0garbage\r\n\r\n")), next: "hangUp" },
    ],
    ["is answered with 500", html("500 Internal Server Error")],
    ["is sent elsewhere", html("302 Found\r\nLocation: /readyz")],
    ["is answered by a hang-up", { next: "hangUp" }],
  ])("%s, again and again, is replaced", async (what, fault) => {
    const { deployment } = site;
    const ask = (words: string) => deployment.finished(deployment.enqueue(`health ${what}`, words));
    await ask("the first");
    const before = site.worker.enginePid();
    misbehave({ at: "/healthz", times: HEALTH_MISSES, ...fault });
    await until("another gateway", () => ![before, null].includes(site.worker.enginePid()));
    expect((await ask("the second")).answer).toEqual({ text: "I know 2 of your messages" });
  });
});

describe("a successor that", () => {
  test.each<[string, Fault]>([
    [
      "is not ready at first",
      { at: "/readyz", writes: bytes(Buffer.from("\0\r\n\r\n")), next: "hangUp", times: 2 },
    ],
    ["greets with garbage", { at: "greeting", writes: text("null"), times: 2 }],
    ["hangs up instead of greeting", { at: "greeting", next: "hangUp", times: 2 }],
    ["welcomes with nothing", { at: "connect", payload: null, times: 2 }],
    [
      "refuses its client",
      {
        at: "connect",
        frame: { type: "res", id: "<id>", ok: false, error: { code: "INVALID_REQUEST", message: "no" } },
        times: 2,
      },
    ],
    ["ends while it is greeted", { at: "connect", next: "exit", times: 2 }],
  ])("%s is followed by another, and the turn is answered", async (what, fault) => {
    const { deployment } = site;
    const ask = (words: string) => deployment.finished(deployment.enqueue(`boot, ${what}`, words));
    await ask("the first");
    const before = site.worker.enginePid();
    misbehave(fault);
    signalGateway(before, "SIGKILL");
    await until("the end of the gateway", () => site.worker.enginePid() !== before);
    const met = await ask("the second");
    expect(met).toMatchObject({ attempts: 1, errors: [], answer: { text: "I know 2 of your messages" } });
  });
});

test("a session that cannot be closed costs nobody the gateway", async () => {
  const { deployment } = site;
  const ask = (words: string) => deployment.finished(deployment.enqueue("hard to close", words));
  await ask("the first");
  moveOn("hard to close");
  const before = site.worker.enginePid();
  const error = { code: "UNAVAILABLE", message: "still active" };
  misbehave({ at: "sessions.delete", frame: { type: "res", id: "<id>", ok: false, error } });
  for (const words of ["the second", "the third"])
    expect(await ask(words)).toMatchObject({ status: "done", attempts: 1 });
  expect(site.worker.enginePid()).toBe(before);
});

test("a worker whose gateways come up no more gives back what it holds and ends, so that another takes its place", async () => {
  const standIn = onStandIn();
  const lost = await standIn.starting;
  const refusal = { type: "res", id: "<id>", ok: false, error: { code: "INVALID_REQUEST", message: "no" } };
  standIn.tell({ at: "connect", frame: refusal, times: 1_000 });
  signalGateway(standIn.pid(), "SIGKILL");
  const waiting = lost.deployment.enqueue("waiting", "is anybody there?");
  await lost.worker.stopped;
  expect(lost.deployment.stoppedReasons).toEqual(["no gateway comes up"]);
  expect(lost.deployment.message(waiting)).toMatchObject({ status: "queued", leaseId: null });
  await lost.close();
});

test("a worker that is told to stop does not wait for a gateway that boots", async () => {
  const standIn = onStandIn();
  const stopping = await standIn.starting;
  standIn.tell({ at: "/readyz", times: 1_000_000 });
  signalGateway(standIn.pid(), "SIGKILL");
  await until("the end of the gateway", () => standIn.pid() === null);
  await stopping.worker.stop("test");
  expect(stopping.deployment.stoppedReasons).toEqual(["test"]);
  await stopping.close();
});

test("a first gateway that answers its probe turn with garbage ends the boot, and itself", async () => {
  const standIn = onStandIn({ at: "agent", payload: null });
  await expect(standIn.starting).rejects.toThrow("unknown shape");
  expect(standIn.pid()).toBeNull();
});
