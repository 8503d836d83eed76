/**
 * SIGKILL of a real worker process, with its real gateway, at every named point of a turn. A second worker takes
 * over: every message is answered once, in order, and what was answered is remembered.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CrashWorkerOptions } from "../../../runtime/worker/testing/crashWorker.ts";
import { type ChatRequest, type ModelReply, textOf } from "../../../runtime/worker/testing/model.ts";
import { type ServedDeployment, serveDeployment } from "../../../runtime/worker/testing/remote.ts";
import {
  startTestWorker,
  type TestWorker,
  until,
  workerDir,
} from "../../../runtime/worker/testing/worker.ts";

const points = [
  "claimed",
  "hydrated",
  "restored",
  "modelCalled",
  "model",
  "modelAnswered",
  "prepared",
  "uploaded",
  "finalized",
  "completed",
];
/** Rounds of every point; a release runs more of them. */
const rounds = Number(process.env["CRASH_ROUNDS"] ?? "1");

let survivor: TestWorker;
let served: ServedDeployment;
let victim: ChildProcess | null = null;
/** The next request of the model hangs until its caller dies. */
let hangOnce = false;

const wordsOf = (request: ChatRequest): string[] =>
  request.messages.filter((message) => message.role === "user").map(textOf);
const reply = (request: ChatRequest): ModelReply => {
  if (hangOnce) {
    hangOnce = false;
    return { kind: "hang" };
  }
  return { kind: "text", text: `I know ${wordsOf(request).length} of your messages` };
};

beforeAll(async () => {
  survivor = await startTestWorker(reply);
  served = await serveDeployment(survivor.deployment);
}, 180_000);
afterAll(async () => {
  victim?.kill("SIGKILL");
  await served?.close();
  await survivor?.close();
});

async function startVictim(crashAt: string): Promise<ChildProcess> {
  const options: CrashWorkerOptions = {
    backendUrl: served.url,
    modelUrl: survivor.model.url,
    dataDir: join(survivor.site.dir, "victim"),
    siteDir: survivor.site.dir,
    workerId: "w-victim",
    crashAt,
  };
  const child = spawn(
    process.execPath,
    [join(workerDir, "testing/crashWorker.ts"), JSON.stringify(options)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  victim = child;
  await Promise.race([once(child.stdout ?? child, "data"), once(child, "exit")]);
  return child;
}

describe.each(Array.from({ length: rounds }, (_, round) => round + 1))("round %i", (round) => {
  test.each(points)(
    "a worker killed at '%s' loses nothing, doubles nothing and forgets nothing",
    async (point) => {
      const { deployment, model } = survivor;
      const conversationId = `crash-${point}-${round}`;
      const first = await deployment.finished(deployment.enqueue(conversationId, `the word is ${point}`));
      expect(first.answer?.text).toBe("I know 1 of your messages");

      deployment.claimant = "w-victim";
      const child = await startVictim(point === "model" ? "none" : point);
      expect(child.exitCode).toBeNull();
      const exited = once(child, "exit");
      hangOnce = point === "model";
      const asked = model.requests.length;
      const second = deployment.enqueue(conversationId, "second");
      const third = deployment.enqueue(conversationId, "third");
      if (point === "model") {
        await until("the model to be asked", () => model.requests.length > asked);
        child.kill("SIGKILL");
      }
      const [, signal] = (await exited) as [number | null, string | null];
      expect(signal).toBe("SIGKILL");
      const answeredByVictim = deployment.answers.filter((answer) => answer.workerId === "w-victim").length;

      deployment.claimant = "w-test-1";
      deployment.expireLeases();
      expect((await deployment.finished(second)).answer?.text).toBe("I know 2 of your messages");
      expect((await deployment.finished(third)).answer?.text).toBe("I know 3 of your messages");
      expect(JSON.stringify(model.requests.at(-1))).toContain(`the word is ${point}`);
      const answered = deployment.answers.map((answer) => answer.messageId);
      expect(answered.filter((id) => id === second)).toHaveLength(1);
      expect(answered.indexOf(second)).toBeLessThan(answered.indexOf(third));
      deployment.claimant = null;
      deployment.answers = deployment.answers.filter((answer) => answer.workerId !== "w-victim");
      expect(answeredByVictim).toBe(point === "completed" ? 1 : 0);
    },
    180_000,
  );
});

test("no gateway outlives its worker", async () => {
  await until(
    "the gateways of killed workers to end",
    async () => (await gatewaysOf("victim")) === 0,
    30_000,
  );
  expect(await gatewaysOf("victim")).toBe(0);
});

/** Gateways whose folder lies below the given one: found by their working directory. */
async function gatewaysOf(name: string): Promise<number> {
  const wanted = join(survivor.site.dir, name);
  let count = 0;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "");
    if (cwd.startsWith(wanted)) count += 1;
  }
  return count;
}
