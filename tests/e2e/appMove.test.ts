/**
 * A stack that moves to another Fly app, by the real engine and under load: the new app proves itself, the former one's
 * workers finish their turns, and only then its token and the app itself go. The real worker runs without a gateway
 * (tests/faults/fleet/image), so that every turn's length is known.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { projectRoot } from "../../local/environment/environment.ts";
import type { Person } from "../../local/environment/person.ts";
import { pushImage } from "../../local/fly/testing/image.ts";
import { answerTo, BEHAVIOUR_VARIABLE } from "../faults/fleet/image/engine.ts";
import { workerImage } from "../faults/fleet/image/image.ts";
import { leftovers } from "./inventory.ts";
import { World } from "./world.ts";

const TURN_MS_MAX = 1_500;
const FIRST = "af-moved-first";
const SECOND = "af-moved-second";
const THIRD = "af-moved-third";

let world: World;
let ownNetwork = "default";

/** What each person has written so far: one chat is one conversation, from the first test to the last. */
const written = new Map<Person, string[]>(
  [1, 2, 3, 4, 5].map((n) => [{ id: 9_100 + n, first_name: `Person ${n}` }, []]),
);
const patient: Person = { id: 9_100, first_name: "Patient" };
written.set(patient, []);

async function write(person: Person, turnMs: number): Promise<number> {
  const texts = written.get(person) ?? [];
  const text = `message ${texts.length + 1} takes ${turnMs} ms`;
  const { after } = await world.phone.write(person, text);
  texts.push(text);
  return after;
}

/** Everybody but the patient one writes, reads and writes again while `change` goes on. */
async function underLoad<T>(change: () => Promise<T>): Promise<T> {
  const load = { over: false };
  const talk = async (person: Person): Promise<void> => {
    while (!load.over) {
      const after = await write(person, Math.ceil(Math.random() * TURN_MS_MAX));
      await world.phone.answer(person, after, 10_000);
    }
  };
  const talking = Promise.all([...written.keys()].filter((person) => person !== patient).map(talk));
  try {
    return await change();
  } finally {
    load.over = true;
    await talking;
  }
}

/** Every message was answered once, in order, by workers that remembered all before it, in its first attempt. */
async function expectNothingLost(): Promise<void> {
  await world.idle();
  await world.deliveriesDone();
  for (const [person, texts] of written) {
    expect(await world.answers(person), person.first_name).toEqual(
      texts.map((text, index) => answerTo(text, index + 1)),
    );
    const times = await world.times(person);
    expect(
      times.filter(({ attempts }) => attempts !== 1),
      person.first_name,
    ).toEqual([]);
  }
}

/**
 * An app with the light worker under the tag that the stack looks for, as a build of an `up` that was cut off leaves
 * it. The first one is made by hand before the stack knows its owner id, and taken over.
 */
async function prepareApp(name: string): Promise<void> {
  await world.fly("POST", "/v1/apps", { name, org_slug: "personal", network: ownNetwork });
  const { registryUrl } = world.environment.cloud.fly;
  const buildTree = join(projectRoot, "runtime/worker/image/buildTree.ts");
  const tag = execFileSync(process.execPath, [buildTree, "--print-hash"], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  await pushImage(registryUrl, name, world.orgToken, tag.trim(), await workerImage("light"));
}

async function apps(): Promise<string[]> {
  const { apps: all } = (await world.fly("GET", "/v1/apps?org_slug=personal")) as {
    apps: Array<{ name: string }>;
  };
  return all.map(({ name }) => name).sort();
}

const processing = async (): Promise<number> =>
  (await world.backend.run<{ processing: number }>("factory:queueStats")).processing;

beforeAll(async () => {
  world = await World.start({
    "fly.appName": FIRST,
    "fly.adoptUnowned": true,
    "policies.scaling.maxWorkers": 4,
    "policies.scaling.jobsPerWorker": 2,
    "policies.scaling.reconcileIntervalMs": 1_000,
    "policies.rollout.gateObserveMs": 1_000,
  });
  await prepareApp(FIRST);
  const { owner } = await world.up();
  ownNetwork = `af-${String(owner).split("/").at(-1)}`;
});

afterAll(async () => {
  await world?.stop();
});

it("finishes the turns of the former app, and deletes it and its token last", async () => {
  const { stack } = world.environment;
  await prepareApp(SECOND);
  await write(patient, 20_000);
  const moved = await underLoad(async () => {
    await world.until("the load is there", async () => (await processing()) >= 3);
    stack.configure("fly.appName", SECOND);
    return stack.up();
  });
  expect(moved.code, moved.output).toBe(0);
  world.app = SECOND;
  expect((await stack.outputs())["flyAppName"]).toBe(SECOND);
  expect(await apps()).toEqual([SECOND]);
  expect(await world.tokensOf(SECOND)).toHaveLength(1);
  await expectNothingLost();
  const quiet = await stack.up(undefined, ["--expect-no-changes"]);
  expect(quiet.code, quiet.output).toBe(0);
});

it("stays where it is when nothing comes up in the new app, and spares the former one when the config goes back", async () => {
  const { stack } = world.environment;
  await prepareApp(THIRD);
  const failed = await underLoad(async () => {
    stack.configure("fly.appName", THIRD);
    stack.configure("workerEnv", { [BEHAVIOUR_VARIABLE]: "crashesAtBoot" });
    return stack.up();
  });
  expect(failed.code).not.toBe(0);
  expect(failed.output).toMatch(
    /The rollout of revision \d+ was rolled back: 2 workers with the new image did not come up/,
  );
  expect(await apps()).toEqual([SECOND, THIRD]);
  await expectNothingLost();

  const back = await underLoad(async () => {
    stack.configure("fly.appName", SECOND);
    stack.configure("workerEnv", {});
    const refreshed = await stack.refresh();
    expect(refreshed.code, refreshed.output).toBe(0);
    return stack.up();
  });
  expect(back.code, back.output).toBe(0);
  expect(await apps()).toEqual([SECOND]);
  expect(await world.tokensOf(SECOND)).toHaveLength(1);
  await world.ask(patient, "message 2 takes 10 ms");
  written.get(patient)?.push("message 2 takes 10 ms");
  await expectNothingLost();
  const quiet = await stack.up(undefined, ["--expect-no-changes"]);
  expect(quiet.code, quiet.output).toBe(0);
});

it("waits with the token while the former app works, and goes on with the deletions when it was killed meanwhile", async () => {
  const { stack } = world.environment;
  stack.configure("rollout.wait", false);
  await prepareApp(THIRD);
  const after = await write(patient, 25_000);
  await world.until("the long turn runs", async () => (await processing()) >= 1);
  stack.configure("fly.appName", THIRD);
  const moving = stack.up();
  await world.until("the new app serves while the former one ends", async () => {
    const status = await world.backend.run<{ use: string }>("factory:appStatus", { appName: SECOND });
    return status.use === "leaving";
  });
  expect(await world.tokensOf(SECOND)).toHaveLength(1);
  await world.until(
    "the engine waits for the former app",
    async () => (await world.tokensOf(THIRD)).length === 1,
  );
  world.killEngine();
  expect((await moving).code).not.toBe(0);
  expect(await apps()).toEqual([SECOND, THIRD]);
  await stack.prepare();
  stack.configure("fly.appName", THIRD);
  stack.configure("rollout.wait", false);
  const again = await stack.up();
  expect(again.code, again.output).toBe(0);
  world.app = THIRD;
  expect(await world.phone.answer(patient, after, 60_000)).not.toBeNull();
  expect(await apps()).toEqual([THIRD]);
  await expectNothingLost();
});

it("leaves nothing behind when it is destroyed", async () => {
  const destroyed = await world.environment.stack.destroy();
  expect(destroyed.code, destroyed.output).toBe(0);
  expect(await leftovers(world)).toEqual([]);
});
