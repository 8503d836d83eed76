import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTokenOf } from "./processes.ts";
import { expectEventually, type Harness, LONG_RUNNER, startHarness } from "../testing/harness.ts";

let h: Harness;
let image: string;
beforeAll(async () => {
  h = await startHarness({ destroyedVisibleMs: 300 });
  image = await h.appWithImage("demo", LONG_RUNNER);
});
afterAll(() => h.close());

const machines = "/v1/apps/demo/machines";
const running = "setInterval(() => {}, 1000); console.log('ready')";

/** A machine running this script, returned when it has printed `ready`. */
async function start(script: string, config: Record<string, unknown> = {}): Promise<string> {
  const init = { exec: ["node", "-e", script] };
  const created = await h.call("POST", machines, {
    config: { image, init, restart: { policy: "no" }, ...config },
  });
  expect(created.status).toBe(200);
  const id = String(created.body.id);
  await expectEventually(async () => (await h.logs("demo", id)).includes("ready"));
  await h.until("demo", id, "started");
  return id;
}
const exitEvent = async (id: string): Promise<Record<string, unknown>> => {
  const events = await h.call("GET", `${machines}/${id}/events`);
  return events.body.find((event: { type: string }) => event.type === "exit").request.exit_event;
};
const destroy = async (id: string): Promise<void> => {
  expect((await h.call("DELETE", `${machines}/${id}?force=true`)).status).toBe(200);
};

describe("creation", () => {
  test("answers created, then the image's command runs until the stop signal, then it is destroyed", async () => {
    const created = await h.call("POST", machines, {
      name: "one",
      config: { image, restart: { policy: "no" } },
    });
    expect(created.status).toBe(200);
    expect(created.body).toMatchObject({ name: "one", state: "created", region: "iad", cordoned: false });
    const id = String(created.body.id);
    await expectEventually(async () => (await h.logs("demo", id)).includes("ready"));
    const stopped = await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM", timeout: "5s" });
    expect(stopped).toMatchObject({ status: 200, body: { ok: true } });
    await h.until("demo", id, "stopped");
    expect(await h.logs("demo", id)).toContain("got SIGTERM");
    expect((await h.call("DELETE", `${machines}/${id}`)).status).toBe(200);
    await h.until("demo", id, "destroyed");
    await expectEventually(async () => (await h.call("GET", `${machines}/${id}`)).status === 404);
  });

  test("a second machine of a live name is refused with the id of the first; a destroyed one frees the name", async () => {
    const first = await h.call("POST", machines, { name: "twin", config: { image }, skip_launch: true });
    const second = await h.call("POST", machines, { name: "twin", config: { image }, skip_launch: true });
    expect(second.status).toBe(409);
    expect(second.body.error).toBe(
      `already_exists: unique machine name violation, machine ID ${first.body.id} already exists with name "twin"`,
    );
    await destroy(first.body.id);
    await h.until("demo", first.body.id, "destroyed");
    const third = await h.call("POST", machines, { name: "twin", config: { image }, skip_launch: true });
    expect(third.status).toBe(200);
    await destroy(third.body.id);
  });

  test("of many simultaneous creates of one name exactly one succeeds", async () => {
    const body = { name: "raced", config: { image }, skip_launch: true };
    const replies = await Promise.all(Array.from({ length: 10 }, () => h.call("POST", machines, body)));
    expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([
      200,
      ...Array.from({ length: 9 }, () => 409),
    ]);
    await destroy(replies.find((reply) => reply.status === 200)?.body.id);
  });

  test.each([
    [
      "an image that was never pushed",
      { config: { image: "registry.fly.io/demo:none" } },
      404,
      "Could not find image",
    ],
    [
      "an image of another registry",
      { config: { image: "docker.io/library/node:24" } },
      404,
      "Could not find image",
    ],
    ["no image", { config: {} }, 400, "config.image"],
    ["an unknown region", { region: "lhr,eu", config: { image: "x" } }, 400, "region"],
    ["odd memory", { config: { image: "x", guest: { memory_mb: 300 } } }, 400, "config.guest.memory_mb"],
    [
      "too long a stop",
      { config: { image: "x", stop_config: { timeout: "301s" } } },
      400,
      "config.stop_config.timeout",
    ],
    [
      "secrets not yet written",
      { config: { image: "x" }, min_secrets_version: 99 },
      412,
      "min_secrets_version",
    ],
  ])("%s is refused and named", async (_title, body, status, text) => {
    const reply = await h.call("POST", machines, body);
    expect(reply.status).toBe(status);
    expect(reply.body.error).toContain(text);
  });
});

describe("stopping", () => {
  test("a process that ignores the signal is killed with its children when the timeout is over", async () => {
    const id = await start(`
      process.on("SIGTERM", () => console.log("ignored"));
      const child = require("child_process").spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true });
      console.log("child", child.pid); ${running}`);
    const child = Number(/child (\d+)/.exec(await h.logs("demo", id))?.[1]);
    await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM", timeout: "300ms" });
    await h.until("demo", id, "stopping");
    await h.until("demo", id, "stopped");
    expect(await h.logs("demo", id)).toContain("ignored");
    expect(await exitEvent(id)).toMatchObject({ exit_code: 137, requested_stop: true });
    expect(startTokenOf(child)).toBeNull();
    await destroy(id);
  });

  test("the stop signal reaches the command alone, not its children", async () => {
    const id = await start(`
      const { spawn } = require("child_process");
      const child = spawn(process.execPath, ["-e", "process.on('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000); console.log('up')"]);
      child.on("exit", (code) => console.log("child ended", code));
      child.stdout.on("data", () => console.log("ready"));
      process.on("SIGTERM", () => setTimeout(() => { console.log("child is", child.exitCode); process.exit(0); }, 150));`);
    await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGTERM", timeout: "5s" });
    await h.until("demo", id, "stopped");
    expect(await h.logs("demo", id)).toContain("child is null");
    await destroy(id);
  });

  test("stop of a stopped machine changes nothing; start of a starting one is refused", async () => {
    const id = await start(running);
    await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGKILL" });
    await h.until("demo", id, "stopped");
    expect((await h.call("POST", `${machines}/${id}/stop`)).status).toBe(200);
    expect((await h.call("POST", `${machines}/${id}/start`)).body).toMatchObject({
      previous_state: "stopped",
    });
    const again = await h.call("POST", `${machines}/${id}/start`);
    expect(again).toMatchObject({
      status: 412,
      body: { error: "failed_precondition: unable to start machine from current state: 'starting'" },
    });
    await h.until("demo", id, "started");
    await destroy(id);
  });

  test("destroy of a running machine needs force", async () => {
    const id = await start(running);
    expect((await h.call("DELETE", `${machines}/${id}`)).status).toBe(412);
    expect((await h.call("DELETE", `${machines}/${id}?kill=true`)).status).toBe(200);
    await h.until("demo", id, "destroyed");
  });

  test("a stop while the machine still boots ends stopped, with nothing running", async () => {
    const created = await h.call("POST", machines, { config: { image, restart: { policy: "always" } } });
    const id = String(created.body.id);
    await expectEventually(
      async () => (await h.call("POST", `${machines}/${id}/stop`, { signal: "SIGKILL" })).status === 200,
    );
    await h.until("demo", id, "stopped");
    const shown = await h.call("GET", "/local/apps/demo/machines");
    expect(shown.body.find((machine: { id: string }) => machine.id === id).process).toBeNull();
    await destroy(id);
  });
});

describe("suspending", () => {
  test("freezes the process and keeps its memory; started time does not run on meanwhile", async () => {
    const id = await start(
      "let n = 0; setInterval(() => console.log('tick', n++), 20); console.log('ready')",
    );
    expect((await h.call("POST", `${machines}/${id}/suspend`)).status).toBe(200);
    await h.until("demo", id, "suspended");
    const before = await h.logs("demo", id);
    const usageBefore = (await h.call("GET", "/local/usage?app=demo")).body;
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(await h.logs("demo", id)).toBe(before);
    expect((await h.call("GET", "/local/usage?app=demo")).body).toEqual(usageBefore);
    await h.call("POST", `${machines}/${id}/start`);
    await h.until("demo", id, "started");
    await expectEventually(async () => (await h.logs("demo", id)).length > before.length);
    expect((await h.logs("demo", id)).match(/ready/g)).toHaveLength(1);
    await destroy(id);
  });

  test("a suspended machine that is stopped loses its memory and boots anew", async () => {
    const id = await start(running);
    await h.call("POST", `${machines}/${id}/suspend`);
    await h.until("demo", id, "suspended");
    await h.call("POST", `${machines}/${id}/stop`);
    await h.until("demo", id, "stopped");
    await h.call("POST", `${machines}/${id}/start`);
    await expectEventually(async () => (await h.logs("demo", id)).match(/ready/g)?.length === 2);
    await destroy(id);
  });

  test("a suspended machine can be destroyed without force", async () => {
    const id = await start(running);
    await h.call("POST", `${machines}/${id}/suspend`);
    await h.until("demo", id, "suspended");
    expect((await h.call("DELETE", `${machines}/${id}`)).status).toBe(200);
    await h.until("demo", id, "destroyed");
  });
});

describe("what follows an exit", () => {
  test("policy no with auto_destroy: the machine is gone when its work is done", async () => {
    const id = await start("console.log('ready'); setTimeout(() => {}, 300)", { auto_destroy: true });
    await h.until("demo", id, "destroyed");
    expect(await exitEvent(id)).toMatchObject({ exit_code: 0, requested_stop: false });
  });

  test("policy on-failure restarts a crash, up to max_retries, then the machine has failed", async () => {
    const restart = { policy: "on-failure", max_retries: 2 };
    const init = { exec: ["node", "-e", "console.log('run'); process.exit(7)"] };
    const created = await h.call("POST", machines, { config: { image, init, restart } });
    const id = String(created.body.id);
    await h.until("demo", id, "failed");
    expect((await h.logs("demo", id)).match(/run/g)).toHaveLength(3);
    expect(await exitEvent(id)).toMatchObject({ exit_code: 7 });
    await destroy(id);
  });

  test("a command that does not exist ends with 127", async () => {
    const init = { exec: ["no-such-program"] };
    const created = await h.call("POST", machines, { config: { image, init, restart: { policy: "no" } } });
    await h.until("demo", created.body.id, "stopped");
    expect(await exitEvent(created.body.id)).toMatchObject({ exit_code: 127 });
    await destroy(created.body.id);
  });
});

describe("updating", () => {
  test("replaces config and version and reboots a running machine", async () => {
    const id = await start(running);
    const before = await h.call("GET", `${machines}/${id}`);
    const init = { exec: ["node", "-e", "console.log('new one'); setInterval(() => {}, 1000)"] };
    const config = { image, init, stop_config: { signal: "SIGTERM" } };
    const wrong = await h.call("POST", `${machines}/${id}`, { config, current_version: "01OLD" });
    expect(wrong.status).toBe(409);
    const updated = await h.call("POST", `${machines}/${id}`, {
      config,
      current_version: before.body.version,
    });
    expect(updated).toMatchObject({ status: 200, body: { state: "replacing" } });
    expect(updated.body.version).not.toBe(before.body.version);
    expect((await h.call("POST", `${machines}/${id}/start`)).status).toBe(412);
    await h.until("demo", id, "started");
    await expectEventually(async () => (await h.logs("demo", id)).includes("new one"));
    expect((await h.call("GET", `${machines}/${id}/versions`)).body).toHaveLength(2);
    await destroy(id);
  });

  test("leaves a stopped machine stopped; name and region cannot change", async () => {
    const created = await h.call("POST", machines, { config: { image }, skip_launch: true });
    const path = `${machines}/${created.body.id}`;
    expect((await h.call("POST", path, { config: { image }, region: "lhr" })).status).toBe(400);
    expect((await h.call("POST", path, { config: { image }, name: "other" })).status).toBe(400);
    expect((await h.call("POST", path, { config: { image } })).status).toBe(200);
    await h.until("demo", created.body.id, "stopped");
    await destroy(created.body.id);
  });

  test("restart runs the command again", async () => {
    const id = await start(running);
    await h.call("POST", `${machines}/${id}/restart?signal=SIGKILL`);
    await expectEventually(async () => (await h.logs("demo", id)).match(/ready/g)?.length === 2);
    await h.until("demo", id, "started");
    await destroy(id);
  });

  test("signal sends any signal to the command; cordon and uncordon show in the machine", async () => {
    const id = await start(`process.on("SIGUSR2", () => console.log("usr2")); ${running}`);
    expect((await h.call("POST", `${machines}/${id}/signal`, { signal: "SIGUSR2" })).status).toBe(200);
    await expectEventually(async () => (await h.logs("demo", id)).includes("usr2"));
    await h.call("POST", `${machines}/${id}/cordon`);
    expect((await h.call("GET", `${machines}/${id}`)).body.cordoned).toBe(true);
    await h.call("POST", `${machines}/${id}/uncordon`);
    expect((await h.call("GET", `${machines}/${id}`)).body.cordoned).toBe(false);
    await destroy(id);
  });
});
