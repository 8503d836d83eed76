import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectEventually, type Request, requestTo, expectState } from "../testing/harness.ts";
import { pushImage } from "../testing/image.ts";
import { startTokenOf } from "./processes.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const machines = "/v1/apps/demo/machines";

interface Ready {
  url: string;
  registryUrl: string;
  orgTokenFile: string;
}

let stateDir: string;
let emulator: ChildProcessWithoutNullStreams;
let ready: Ready;
let call: Request;

async function boot(flags: string[] = []): Promise<void> {
  emulator = spawn(process.execPath, [
    MAIN,
    "--state",
    stateDir,
    "--rate-limit",
    "off",
    "--transient-ms",
    "10",
    ...flags,
  ]);
  const [line] = await new Promise<string[]>((resolve, reject) => {
    const lines = createInterface({ input: emulator.stdout });
    lines.once("line", (text) => resolve([text]));
    emulator.once("exit", (code) => reject(new Error(`the emulator ended with ${code}`)));
  });
  ready = JSON.parse(line ?? "") as Ready;
  call = requestTo(() => ready.url, readFileSync(ready.orgTokenFile, "utf8").trim());
}

async function end(signal: NodeJS.Signals): Promise<number | null> {
  const ended = new Promise<number | null>((resolve) => emulator.once("exit", resolve));
  emulator.kill(signal);
  return await ended;
}

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "fly-recovery-"));
  await boot();
  await call("POST", "/v1/apps", { name: "demo", org_slug: "personal" });
});
afterEach(async () => {
  await end("SIGTERM");
  rmSync(stateDir, { recursive: true, force: true });
});

async function push(script: string): Promise<string> {
  const token = readFileSync(ready.orgTokenFile, "utf8").trim();
  const digest = await pushImage(ready.registryUrl, "demo", token, "v1", {
    layers: [{ "main.mjs": script }],
    entrypoint: ["node", "main.mjs"],
  });
  return `registry.fly.io/demo@${digest}`;
}

async function create(script: string, config: Record<string, unknown> = {}): Promise<string> {
  const restart = { policy: "no" };
  const reply = await call("POST", machines, {
    name: "worker",
    config: { image: await push(script), restart, ...config },
  });
  expect(reply.status).toBe(200);
  await expectState(call, "demo", reply.body.id, "started");
  await expectEventually(async () => (await logs(reply.body.id)).includes("ready"));
  return String(reply.body.id);
}

const logs = async (id: string): Promise<string> =>
  String((await call("GET", `/local/apps/demo/machines/${id}/logs`)).body ?? "");
const mainPid = async (id: string): Promise<number> => {
  const list = (await call("GET", "/local/apps/demo/machines")).body;
  return list.find((machine: { id: string }) => machine.id === id).process.main;
};
const RUNS =
  "console.log('ready'); process.on('SIGTERM', () => { console.log('bye'); process.exit(0); }); setInterval(() => {}, 1000);";

describe("after a SIGKILL of the emulator", () => {
  test("a machine runs on, is found again, and can be stopped", async () => {
    const id = await create(RUNS);
    const pid = await mainPid(id);
    await end("SIGKILL");
    expect(startTokenOf(pid)).not.toBeNull();
    await boot();
    expect((await call("GET", `${machines}/${id}`)).body).toMatchObject({ state: "started", name: "worker" });
    expect(await mainPid(id)).toBe(pid);
    await call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM", timeout: "5s" });
    await expectState(call, "demo", id, "stopped");
    expect(await logs(id)).toContain("bye");
    const usage = (await call("GET", "/local/usage")).body;
    expect(usage.machines).toMatchObject([{ machine: id, runs: 1 }]);
  });

  test("an end it missed is known with its exit code, and the restart policy applied", async () => {
    const id = await create("console.log('ready'); setTimeout(() => process.exit(5), 400)", {
      restart: { policy: "on-failure" },
    });
    const pid = await mainPid(id);
    await end("SIGKILL");
    await expectEventually(() => startTokenOf(pid) === null);
    await boot();
    await expectEventually(async () => ((await logs(id)).match(/ready/g)?.length ?? 0) >= 2);
    const events = (await call("GET", `${machines}/${id}/events`)).body;
    const exit = events.findLast((event: { type: string }) => event.type === "exit");
    expect(exit.request.exit_event).toMatchObject({ exit_code: 5, requested_stop: false });
    await call("DELETE", `${machines}/${id}?force=true`);
    await expectState(call, "demo", id, "destroyed");
  });

  test("a machine with auto_destroy that was killed meanwhile is destroyed", async () => {
    const id = await create(RUNS, { auto_destroy: true });
    const pid = await mainPid(id);
    await end("SIGKILL");
    process.kill(pid, "SIGKILL");
    await expectEventually(() => startTokenOf(pid) === null);
    await boot(["--destroyed-visible-ms", "60000"]);
    await expectState(call, "demo", id, "destroyed");
  });

  test("a stop under way is carried through, kill timeout included", async () => {
    const id = await create(
      "console.log('ready'); process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);",
    );
    const pid = await mainPid(id);
    await call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM", timeout: "1s" });
    await end("SIGKILL");
    await boot();
    await expectState(call, "demo", id, "stopped");
    expect(startTokenOf(pid)).toBeNull();
  });

  test("a suspended machine is still suspended, and resumes", async () => {
    const id = await create("let n = 0; setInterval(() => console.log('ready', n++), 20);");
    await call("POST", `${machines}/${id}/suspend`);
    await expectState(call, "demo", id, "suspended");
    await end("SIGKILL");
    await boot();
    const before = await logs(id);
    await call("POST", `${machines}/${id}/start`);
    await expectState(call, "demo", id, "started");
    await expectEventually(async () => (await logs(id)).length > before.length);
    expect((await logs(id)).match(/ready 0/g)).toHaveLength(1);
  });

  test("apps, secrets, tokens and images are there, and the organization's token is the same", async () => {
    const before = readFileSync(ready.orgTokenFile, "utf8");
    await call("POST", "/v1/apps/demo/secrets", { values: { A: "1" } });
    const digests = (await call("GET", "/v1/apps/demo/secrets")).body;
    const { token } = (await call("POST", "/v1/apps/demo/deploy_token", {})).body;
    const image = await push(RUNS);
    await end("SIGKILL");
    await boot();
    expect(readFileSync(ready.orgTokenFile, "utf8")).toBe(before);
    expect((await call("GET", "/v1/apps/demo/secrets")).body).toEqual(digests);
    const scoped = requestTo(() => ready.url, token);
    const reply = await scoped("POST", machines, { config: { image }, skip_launch: true });
    expect(reply.status).toBe(200);
  });
});

describe("the command", () => {
  test("a clean stop ends with 0, leaves no process, and the machine is found stopped", async () => {
    const id = await create(RUNS);
    const pid = await mainPid(id);
    expect(await end("SIGTERM")).toBe(0);
    expect(startTokenOf(pid)).toBeNull();
    await boot();
    expect((await call("GET", `${machines}/${id}`)).body.state).toBe("stopped");
  });

  test("a busy port is an error that names the port and the flag", async () => {
    const port = new URL(ready.url).port;
    const second = spawn(process.execPath, [MAIN, "--state", join(stateDir, "second"), "--port", port]);
    let text = "";
    second.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const code = await new Promise((resolve) => second.once("exit", resolve));
    expect(code).toBe(1);
    expect(text).toContain(`port ${port} is already in use; choose another with --port`);
  });
});
