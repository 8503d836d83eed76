/** A whole environment by the real engine, with real workers, under what production does to it. In order: destroy is last. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Person } from "../../local/environment/person.ts";
import { type MessageTimes, World } from "./world.ts";

const person = (id: number, name: string): Person => ({ id, first_name: name });
const ada = person(7_001, "Ada");
const bruno = person(7_002, "Bruno");
const carla = person(7_003, "Carla");
const dora = person(7_004, "Dora");
const emil = person(7_005, "Emil");
const fritz = person(7_006, "Fritz");
const gina = person(7_007, "Gina");

/** Long enough for a fault to fall into the middle of a turn. */
const SLOW_MS = 8_000;

let world: World;

beforeAll(async () => {
  world = await World.start({
    // Shorter than a slow turn, so that a planned stop has to hand the turn over.
    "policies.drain": { drainTimeoutMs: 2_000, killTimeoutMs: 15_000 },
  });
  await world.up();
});

afterAll(async () => {
  await world.stop();
});

/** Prints where the time went from a fault to the answer: noticing it, booting another machine, the turn. */
function tellRecovery(fault: string, at: number, times: MessageTimes | undefined): void {
  const { machineCreatedAt: created, workerReadyAt: ready, answeredAt: answered } = times ?? {};
  if (!created || !ready || !answered)
    throw new Error(`${fault}: the timeline has gaps: ${JSON.stringify(times)}`);
  console.info(
    `${fault}: another machine after ${created - at} ms, ready ${ready - created} ms later, ` +
      `answered ${answered - ready} ms after that (the model takes ${SLOW_MS} ms); ${answered - at} ms in all`,
  );
}

describe("an environment", () => {
  it("is left alone by a second pulumi up", async () => {
    const second = await world.environment.stack.up(undefined, ["--expect-no-changes"]);
    expect(second.code, second.output).toBe(0);
  });

  it("answers two people at once and remembers each one's first message, not the other's", async () => {
    const [first, other] = await Promise.all([
      world.ask(ada, "My favourite colour is vermilion."),
      world.ask(bruno, "I would like a train to Lyon."),
    ]);
    expect(first).toContain("vermilion");
    expect(other).toContain("Lyon");
    const second = await world.ask(ada, "What did I tell you?");
    expect(second).toContain("This is turn 2");
    expect(second).toContain("vermilion");
    expect(second).not.toContain("Lyon");
  });

  it("answers a message once and in order when its worker is killed in mid-turn, and keeps the memory", async () => {
    const before = (await world.times(ada)).at(-1)?.workerId;
    const slow = await world.phone.write(ada, `slow ${SLOW_MS}\nWhich colour was it, before the crash?`);
    await world.modelWorksOn("before the crash?");
    const next = await world.phone.write(ada, "And this came while you were away.");
    const { process: victim, name } = await world.runningMachine();
    const killedAt = Date.now();
    process.kill(-victim.group, "SIGKILL");

    const answer = await world.answerTo(ada, slow);
    expect(answer.body.text).toContain("before the crash?");
    expect(answer.body.text).toContain("This is turn 3");
    expect(answer.body.text).toContain("vermilion");
    const after = await world.answerTo(ada, { ...next, after: answer.seq });
    expect(after.body.text).toContain("while you were away");
    expect(after.body.text).toContain("This is turn 4");
    expect(await world.answers(ada)).toHaveLength(4);

    const [crashed] = (await world.times(ada)).slice(-2);
    tellRecovery("SIGKILL", killedAt, crashed);
    expect(crashed).toMatchObject({ attempts: 2, status: "done" });
    expect(name).toBe(before);
    expect(crashed?.workerId).not.toBe(before);
  });

  it("answers 50 simultaneous copies of one update once", async () => {
    const sent = await world.phone.write(carla, "slow 500\nOnce, please.");
    const { bot } = world.environment;
    const { results } = (await world.telegram("duplicate", {
      bot: bot.username,
      update_id: sent.updateId,
      copies: 50,
      concurrency: 50,
    })) as { results: Array<{ status: number | null }> };
    // 202 takes the update, 200 knows it already; anything else would make Telegram send it again.
    expect(results.filter(({ status }) => status !== 200 && status !== 202)).toEqual([]);
    expect(results).toHaveLength(50);
    await world.answerTo(carla, sent);
    await world.idle();
    expect(await world.times(carla)).toHaveLength(1);
    expect(await world.answers(carla)).toHaveLength(1);
  });

  it("answers a message once when the deployment is killed and restarted in mid-turn", async () => {
    const sent = await world.phone.write(bruno, `slow ${SLOW_MS}\nWhere to, after the power cut?`);
    await world.modelWorksOn("after the power cut?");
    const killedAt = Date.now();
    await world.environment.cloud.restart("convex");
    const answer = await world.answerTo(bruno, sent);
    console.info(
      `deployment killed: answered ${answer.at - killedAt} ms later, of which ${SLOW_MS} ms the model`,
    );
    expect(answer.body.text).toContain("This is turn 2");
    expect(answer.body.text).toContain("Lyon");
    await world.idle();
    expect(await world.answers(bruno)).toHaveLength(2);
    expect(await world.times(bruno)).toHaveLength(2);
  });

  it("waits as long as Telegram asks, then sends once", async () => {
    await world.telegramFault(dora, {
      kind: "status",
      status: 429,
      retryAfter: 2,
      description: "Too Many Requests: retry after 2",
    });
    const sent = await world.phone.write(dora, "Do not hurry.");
    const answer = await world.answerTo(dora, sent);
    const [times] = await world.times(dora);
    expect(answer.at - (times?.answeredAt ?? Infinity)).toBeGreaterThanOrEqual(2_000);
    expect(await world.answers(dora)).toHaveLength(1);
  });

  it("sends plain text when Telegram refuses the markup", async () => {
    await world.telegramFault(emil, {
      kind: "status",
      status: 400,
      description: "Bad Request: can't parse entities: unsupported start tag",
    });
    const sent = await world.phone.write(emil, "say Some **bold** words");
    const answer = await world.answerTo(emil, sent);
    expect(answer.body.text).toContain("bold");
    expect(answer.body["entities"]).toBeUndefined();
    const again = await world.answerTo(emil, await world.phone.write(emil, "say Some **bold** words"));
    expect(again.body["entities"]).toMatchObject([{ type: "bold" }]);
    expect(await world.answers(emil)).toHaveLength(2);
  });

  it("marks an answer whose fate is unknown, lists it and never sends it twice", async () => {
    await world.telegramFault(fritz, { kind: "actThenHang" });
    const sent = await world.phone.write(fritz, "You will not know whether I got your answer.");
    await world.answerTo(fritz, sent);
    const unknown = async (): Promise<Array<{ conversationId: string; lastError: string | null }>> =>
      world.backend.run("factory:listDeliveries", { state: "unknown" });
    await world.until("the delivery is listed as unknown", async () => (await unknown()).length > 0);
    expect(await unknown()).toMatchObject([
      {
        conversationId: world.conversationId(fritz),
        lastError: expect.stringContaining("no answer from Telegram"),
      },
    ]);
    // The conversation goes on behind it.
    expect(await world.ask(fritz, "And now?")).toContain("This is turn 2");
    expect(await world.answers(fritz)).toHaveLength(2);
  });

  it("hands a turn over without spending an attempt when Fly stops its machine", async () => {
    const sent = await world.phone.write(gina, `slow ${SLOW_MS}\nIs this a planned stop?`);
    await world.modelWorksOn("planned stop?");
    const { id, name } = await world.runningMachine();
    const stoppedAt = Date.now();
    await world.fly("POST", `/v1/apps/${world.app}/machines/${id}/stop`);
    const answer = await world.answerTo(gina, sent);
    expect(answer.body.text).toContain("This is turn 1");
    const [times] = await world.times(gina);
    tellRecovery("planned stop", stoppedAt, times);
    expect(times).toMatchObject({ attempts: 1 });
    expect(times?.workerId).not.toBe(name);
    expect(await world.answers(gina)).toHaveLength(1);
  });

  it("keeps its secrets out of exported state, documents, logs and the machines' disks", async () => {
    const exported = await world.environment.stack.run(["stack", "export", "--stack", "local"]);
    expect(exported.code).toBe(0);
    expect(exported.output).toContain(world.app);
    const machines = await world.machines();
    const logs = await Promise.all(machines.map(async ({ id }) => world.logs(id, 10_000)));
    const places = {
      state: exported.output,
      documents: world.documents(),
      "machines' logs": logs.join("\n"),
      ...world.serviceLogs(),
    };
    // What was searched is what is there: these words were written by the tests above.
    expect(places.documents).toContain("vermilion");
    expect(world.onMachineDisks("planned stop")).not.toEqual([]);
    expect(Object.keys(world.secrets())).toContain("generated secret 3");
    for (const [place, text] of Object.entries(places)) {
      for (const [name, secret] of Object.entries(world.secrets())) {
        expect(text.includes(secret), `${name} in ${place}`).toBe(false);
      }
      expect(text, place).not.toMatch(/FlyV1 fm|fm[12]_[A-Za-z0-9]{8}/);
    }
    for (const [name, secret] of Object.entries(world.secrets())) {
      expect(world.onMachineDisks(secret), `${name} on a machine's disk`).toEqual([]);
    }
  });

  it("leaves nothing behind when it is destroyed", async () => {
    const { stack, cloud } = world.environment;
    const destroyed = await stack.destroy();
    expect(destroyed.code, destroyed.output).toBe(0);
    expect(await world.fly("GET", "/v1/apps?org_slug=personal")).toMatchObject({ apps: [] });
    expect(world.machineProcesses()).toEqual([]);
    expect(await world.phone.webhookUrl()).toBe("");
    const secretRefs = ["convex.url", "fly.apiToken", "telegram.botToken.default"];
    const status = await world.backend.run<Array<{ hasActive: boolean }>>("factory:secretStatus", {
      secretRefs,
    });
    expect(status.map((secret) => secret.hasActive)).toEqual([false, false, false]);
    const webhook = await fetch(`${cloud.convex.siteUrl}/agent-factory/telegram/webhook`, {
      method: "POST",
      body: "{}",
    });
    expect(webhook.status).toBeGreaterThanOrEqual(400);
  });
});
