import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ConvexHttpClient } from "convex/browser";
import { makeFunctionReference } from "convex/server";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKeyOf, deploy, eventually, runCli, temporaryState } from "./testing/fixture.ts";

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));

interface Ready {
  readonly ready: true;
  readonly url: string;
  readonly siteUrl: string;
  readonly adminKeyFile: string;
}

const { state, remove } = temporaryState();
let child: ChildProcess;
let ready: Ready;
let http: ConvexHttpClient;

/** Starts the deployment as a process of its own, on the same state as before. */
async function start(): Promise<void> {
  const args = [MAIN, "--state", state, "--cloud-port", "0", "--site-port", "0"];
  child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout!.once("data", (data: Buffer) => resolve(data.toString()));
    child.once("exit", (code) => reject(new Error(`exited with ${code}`)));
  });
  ready = JSON.parse(line) as Ready;
  http = new ConvexHttpClient(ready.url, { logger: false });
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const exited = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
  child.kill(signal);
  return await exited;
}

const mutate = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  http.mutation(makeFunctionReference<"mutation">(path), args, { skipQueue: true });
const query = (path: string, args: Record<string, unknown> = {}): Promise<unknown> =>
  http.query(makeFunctionReference<"query">(path), args);
const counted = (name: string): Promise<number> => query("counters:value", { name }) as Promise<number>;

beforeAll(async () => {
  await start();
  const { code, stderr } = await deploy({ url: ready.url, adminKey: adminKeyOf(ready) });
  if (code !== 0) throw new Error(`The fixture could not be deployed: ${stderr}`);
});

afterAll(async () => {
  await end("SIGKILL");
  remove();
});

describe("a deployment killed with SIGKILL and started again", () => {
  it("has its code, documents, environment, files, jobs and crons", async () => {
    const target = { url: ready.url, adminKey: adminKeyOf(ready) };
    await mutate("messages:send", { channel: "kept", body: "before" });
    await runCli(target, ["env", "set", "KEPT", "value"]);
    const file = (await http.action(makeFunctionReference<"action">("files:roundTrip"), {
      text: "kept",
    })) as { id: string };
    const [job] = (await mutate("jobs:later", { name: "kept-job", delayMs: 1_500 })) as string[];
    await end("SIGKILL");
    await start();
    expect(adminKeyOf(ready)).toBe(target.adminKey);
    expect(await query("messages:list", { channel: "kept" })).toMatchObject([{ body: "before" }]);
    expect(await query("runtimes:readEnv", { name: "KEPT" })).toBe("value");
    const url = (await query("files:url", { id: file.id })) as string;
    expect(await (await fetch(url)).text()).toBe("kept");
    await eventually(
      () => counted("kept-job"),
      (n) => n === 1,
    );
    expect(await query("jobs:status", { id: job })).toMatchObject({ state: { kind: "success" } });
    const fired = await counted("cron-mutation");
    await eventually(
      () => counted("cron-mutation"),
      (n) => n > fired,
    );
  });

  it("does not run an action again that had started", async () => {
    const job = await mutate("jobs:scheduleCountThenWait", { name: "once", waitMs: 60_000 });
    await eventually(
      () => counted("once"),
      (n) => n === 1,
    );
    await end("SIGKILL");
    await start();
    const status = (await query("jobs:status", { id: job })) as { state: { kind: string } };
    expect(status.state.kind).toBe("failed");
    await mutate("jobs:later", { name: "afterwards", delayMs: 300 });
    await eventually(
      () => counted("afterwards"),
      (n) => n === 1,
    );
    expect(await counted("once")).toBe(1);
    expect(await counted("once-done")).toBe(0);
  });

  it("keeps every mutation that was answered, and half of none, however often it is killed", async () => {
    for (let round = 0; round < 3; round++) {
      const name = `storm-${round}`;
      await mutate("jobs:later", { name: `${name}-jobs`, delayMs: 0, times: 100 });
      let answered = 0;
      const writers = Array.from({ length: 8 }, async () => {
        for (;;) {
          await mutate("counters:increment", { name });
          answered += 1;
        }
      });
      const stopped = Promise.allSettled(writers);
      await eventually(
        () => Promise.resolve(answered),
        (n) => n > 40,
      );
      await end("SIGKILL");
      await stopped;
      const certain = answered;
      await start();
      const counter = await counted(name);
      expect(counter).toBeGreaterThanOrEqual(certain);
      // What was under way when the process died may have committed without being answered.
      expect(counter).toBeLessThanOrEqual(certain + writers.length);
      await eventually(
        () => counted(`${name}-jobs`),
        (n) => n >= 100,
      );
      expect(await counted(`${name}-jobs`)).toBe(100);
    }
  });

  it("stops cleanly on SIGTERM, with exit code 0", async () => {
    expect(await end("SIGTERM")).toBe(0);
    await start();
    expect(await counted("once")).toBe(1);
  });

  it("says which port is busy and which flag changes it", async () => {
    const port = new URL(ready.url).port;
    const other = temporaryState();
    const second = spawn(process.execPath, [MAIN, "--state", other.state, "--cloud-port", port], {
      stdio: "pipe",
    });
    let text = "";
    second.stderr.on("data", (data: Buffer) => (text += data.toString()));
    expect(await new Promise((resolve) => second.once("close", resolve))).toBe(1);
    expect(text).toContain(`Port ${port} is already in use`);
    expect(text).toContain("--cloud-port");
    other.remove();
  });
});
