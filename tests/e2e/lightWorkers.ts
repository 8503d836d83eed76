/**
 * People who write to an environment whose machines run the real worker without a gateway
 * (tests/faults/fleet/image), so that boots cost nothing and every turn takes as long as its text says.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../../local/environment/environment.ts";
import type { Person } from "../../local/environment/person.ts";
import { pushImage } from "../../local/fly/testing/image.ts";
import { answerTo } from "../faults/fleet/image/engine.ts";
import { workerImage } from "../faults/fleet/image/image.ts";
import type { World } from "./world.ts";

const TURN_MS_MAX = 1_500;
const PATIENCE_MS = 10_000;

/**
 * Makes an app with the light worker under the tag that the stack looks for before it builds, as an `up` leaves it that
 * was cut off after its build.
 *
 * @param network the stack's own once its owner id is known; `default` for an app that is made by hand and taken over.
 */
export async function prepareApp(world: World, name: string, network = "default"): Promise<void> {
  await world.fly("POST", "/v1/apps", { name, org_slug: "personal", network });
  const { registryUrl } = world.environment.cloud.fly;
  const buildTree = join(projectRoot, "runtime/worker/image/buildTree.ts");
  const tag = execFileSync(process.execPath, [buildTree, "--print-hash"], {
    cwd: projectRoot,
    encoding: "utf8",
  });
  await pushImage(registryUrl, name, world.orgToken, tag.trim(), await workerImage("light"));
}

/** Config of a stack that takes such an app over, with times that decide how long a test waits and nothing else. */
export function lightStack(appName: string): Record<string, unknown> {
  return {
    "fly.appName": appName,
    "fly.adoptUnowned": true,
    "policies.scaling.maxWorkers": 4,
    "policies.scaling.jobsPerWorker": 2,
    "policies.scaling.reconcileIntervalMs": 1_000,
    "policies.rollout.gateObserveMs": 1_000,
  };
}

/** Some people of one environment. One chat is one conversation, from the first test to the last. */
export class Talk {
  readonly #world: World;
  readonly #written: Map<Person, string[]>;
  /** Writes when it is told to, and not under load. */
  readonly patient: Person;

  constructor(world: World, firstId: number, people: number) {
    this.#world = world;
    this.patient = { id: firstId, first_name: "Patient" };
    const others = Array.from({ length: people }, (_, n): Person => {
      return { id: firstId + 1 + n, first_name: `Person ${n + 1}` };
    });
    this.#written = new Map([this.patient, ...others].map((person) => [person, []]));
  }

  /** @returns where the chat stood before. */
  async write(person: Person, turnMs: number): Promise<number> {
    const texts = this.#written.get(person) ?? [];
    const text = `message ${texts.length + 1} takes ${turnMs} ms`;
    const { after } = await this.#world.phone.write(person, text);
    texts.push(text);
    return after;
  }

  get processing(): Promise<number> {
    return this.#world.backend
      .run<{ processing: number }>("factory:queueStats")
      .then(({ processing }) => processing);
  }

  /** Everybody but the patient one writes, reads and writes again while `change` goes on. */
  async underLoad<T>(change: () => Promise<T>): Promise<T> {
    const load = { over: false };
    const talk = async (person: Person): Promise<void> => {
      while (!load.over) {
        const after = await this.write(person, Math.ceil(Math.random() * TURN_MS_MAX));
        await this.#world.phone.answer(person, after, PATIENCE_MS);
      }
    };
    const people = [...this.#written.keys()].filter((person) => person !== this.patient);
    const talking = Promise.all(people.map(talk));
    try {
      await this.#world.until("the load is there", async () => (await this.processing) >= 2);
      return await change();
    } finally {
      load.over = true;
      await talking;
    }
  }

  /** Every message was answered once, in order, by workers that remembered all before it, in its first attempt. */
  async expectNothingLost(): Promise<void> {
    const world = this.#world;
    for (const [person, texts] of this.#written) {
      const heard = async (): Promise<number> => (await world.answers(person)).length;
      // What was written last may not even have reached the webhook.
      await world.until(`${person.first_name} is answered`, async () => (await heard()) >= texts.length);
    }
    await world.idle();
    await world.deliveriesDone();
    for (const [person, texts] of this.#written) {
      const answers = texts.map((text, index) => answerTo(text, index + 1));
      assert.deepEqual(await world.answers(person), answers);
      const repeated = (await world.times(person)).filter(({ attempts }) => attempts !== 1);
      assert.deepEqual(repeated, []);
    }
  }
}
