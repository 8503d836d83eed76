/**
 * A stack that moves to another Fly app, by the real engine and under load: the new app proves itself, the former one's
 * workers finish their turns, and only then its token and the app itself go. The real worker runs without a gateway
 * (tests/faults/fleet/image), so that every turn's length is known.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { BEHAVIOUR_VARIABLE } from "../faults/fleet/image/engine.ts";
import { leftovers } from "./inventory.ts";
import { lightStack, prepareApp, Talk } from "./lightWorkers.ts";
import { World } from "./world.ts";

const FIRST = "af-moved-first";
const SECOND = "af-moved-second";
const THIRD = "af-moved-third";

let world: World;
let talk: Talk;
let ownNetwork: string;

async function apps(): Promise<string[]> {
  const { apps: all } = (await world.fly("GET", "/v1/apps?org_slug=personal")) as {
    apps: Array<{ name: string }>;
  };
  return all.map(({ name }) => name).sort();
}

beforeAll(async () => {
  world = await World.start(lightStack(FIRST));
  talk = new Talk(world, 9_100, 5);
  await prepareApp(world, FIRST);
  const { owner } = await world.up();
  ownNetwork = `af-${String(owner).split("/").at(-1)}`;
});

afterAll(async () => {
  await world?.stop();
});

it("finishes the turns of the former app, and deletes it and its token last", async () => {
  const { stack } = world.environment;
  await prepareApp(world, SECOND, ownNetwork);
  await talk.write(talk.patient, 20_000);
  const moved = await talk.underLoad(async () => {
    stack.configure("fly.appName", SECOND);
    return stack.up();
  });
  expect(moved.code, moved.output).toBe(0);
  world.app = SECOND;
  expect((await stack.outputs())["flyAppName"]).toBe(SECOND);
  expect(await apps()).toEqual([SECOND]);
  expect(await world.tokensOf(SECOND)).toHaveLength(1);
  await talk.expectNothingLost();
  const quiet = await stack.up(undefined, ["--expect-no-changes"]);
  expect(quiet.code, quiet.output).toBe(0);
});

it("stays where it is when nothing comes up in the new app, and spares the former one when the config goes back", async () => {
  const { stack } = world.environment;
  await prepareApp(world, THIRD, ownNetwork);
  const failed = await talk.underLoad(async () => {
    stack.configure("fly.appName", THIRD);
    stack.configure("workerEnv", { [BEHAVIOUR_VARIABLE]: "crashesAtBoot" });
    return stack.up();
  });
  expect(failed.code).not.toBe(0);
  expect(failed.output).toMatch(
    /The rollout of revision \d+ was rolled back: 2 workers with the new image did not come up/,
  );
  expect(await apps()).toEqual([SECOND, THIRD]);
  await talk.expectNothingLost();

  const back = await talk.underLoad(async () => {
    stack.configure("fly.appName", SECOND);
    stack.configure("workerEnv", {});
    const refreshed = await stack.refresh();
    expect(refreshed.code, refreshed.output).toBe(0);
    return stack.up();
  });
  expect(back.code, back.output).toBe(0);
  // The deletions of the move that failed were still to be made: none of them hit what is used again.
  expect(await apps()).toEqual([SECOND]);
  expect(await world.tokensOf(SECOND)).toHaveLength(1);
  expect(await world.fly("GET", `/v1/apps/${SECOND}/secrets`)).toMatchObject({
    secrets: [{ name: "OPENAI_API_KEY" }],
  });
  await talk.write(talk.patient, 10);
  await talk.expectNothingLost();
  const quiet = await stack.up(undefined, ["--expect-no-changes"]);
  expect(quiet.code, quiet.output).toBe(0);
});

it("waits with the token while the former app works, and goes on with the deletions when it was killed meanwhile", async () => {
  const { stack } = world.environment;
  stack.configure("rollout.wait", false);
  await prepareApp(world, THIRD, ownNetwork);
  const after = await talk.write(talk.patient, 25_000);
  await world.until("the long turn runs", async () => (await talk.processing) >= 1);
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
  expect(await world.phone.answer(talk.patient, after, 60_000)).not.toBeNull();
  expect(await apps()).toEqual([THIRD]);
  await talk.expectNothingLost();
});

it("leaves nothing behind when it is destroyed", async () => {
  const destroyed = await world.environment.stack.destroy();
  expect(destroyed.code, destroyed.output).toBe(0);
  expect(await leftovers(world)).toEqual([]);
});
