/** Bridge tools against a consumer app that is a process of its own and dies: an act happens once. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Act } from "../testing/consumerApp.ts";
import { bridgeTools } from "./bridgeTools.ts";
import { forgetSession, setUpSession } from "./sessions.ts";

const APP = join(import.meta.dirname, "../testing/consumerApp.ts");
const SESSION = "agent:safe:conversation";

let dir: string;
let app: ChildProcess | null = null;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "af-bridge-"));
});
afterEach(async () => {
  forgetSession(SESSION);
  await end();
  await rm(dir, { recursive: true });
});

async function startApp(port = 0, fault?: "dieAfterActing"): Promise<number> {
  app = spawn(process.execPath, [APP, join(dir, "journal"), `${port}`, ...(fault ? [fault] : [])], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(app.stdout ?? app, "data")) as [Buffer];
  return Number(line.toString());
}

async function end(): Promise<void> {
  const running = app;
  app = null;
  if (running === null || running.exitCode !== null || running.signalCode !== null) return;
  const ended = once(running, "exit");
  running.kill("SIGKILL");
  await ended;
}

const acts = async (): Promise<Act[]> =>
  (await readFile(join(dir, "journal"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Act);

/** Begins a turn of a message, as the worker does; a second one of the same message is a retried turn. */
function beginTurn(port: number, messageId: string): void {
  setUpSession({
    sessionKey: SESSION,
    tools: ["bridge_orders_refund"],
    messageId,
    functions: [
      {
        key: "orders.refund",
        toolName: "bridge_orders_refund",
        description: "",
        parameters: { type: "object" },
      },
    ],
    bridge: {
      ok: true,
      config: { baseUrl: `http://127.0.0.1:${port}`, serviceId: "s", serviceKey: "k", appKey: "a" },
    },
  });
}

/** What the model is told of one call. */
async function call(args: object): Promise<{ success: boolean; result?: unknown }> {
  const [tool] = bridgeTools(SESSION) ?? [];
  const answer = await tool?.execute("call", args, undefined);
  return JSON.parse(answer?.content[0]?.text ?? "null") as { success: boolean; result?: unknown };
}

test("an app that dies after it acted has acted once, however often the model asks again", async () => {
  const port = await startApp(0, "dieAfterActing");
  beginTurn(port, "message-1");
  expect(await call({ orderId: "7" })).toMatchObject({ success: false, status: 0 });
  await startApp(port);
  expect(await call({ orderId: "7" })).toMatchObject({ success: true, result: { actNumber: 1 } });
  expect(await acts()).toHaveLength(1);
  // Answered now: the same words once more are another act.
  expect(await call({ orderId: "7" })).toMatchObject({ success: true, result: { actNumber: 2 } });
});

test("a turn that is run again repeats its calls without acting again; the next message acts anew", async () => {
  const port = await startApp();
  beginTurn(port, "message-1");
  const first = [await call({ orderId: "7" }), await call({ orderId: "8" }), await call({ orderId: "7" })];
  // Another worker, another attempt: nothing but the message is the same.
  forgetSession(SESSION);
  beginTurn(port, "message-1");
  const again = [await call({ orderId: "7" }), await call({ orderId: "8" }), await call({ orderId: "7" })];
  expect(again).toEqual(first);
  expect((await acts()).map(({ args }) => args)).toEqual([
    { orderId: "7" },
    { orderId: "8" },
    { orderId: "7" },
  ]);
  beginTurn(port, "message-2");
  expect(await call({ orderId: "7" })).toMatchObject({ result: { actNumber: 4 } });
});

test("an app that stays away is an answer that the model can work with", async () => {
  const port = await startApp();
  await end();
  beginTurn(port, "message-1");
  expect(await call({ orderId: "7" })).toMatchObject({ success: false, status: 0 });
});
