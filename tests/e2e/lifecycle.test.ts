/**
 * The stack's life by the real engine. A preview writes nothing; drift is named and mended. `pulumi up` and
 * `pulumi destroy` are cut off at one of their writes and run again: what stands is what an undisturbed run makes, what
 * is gone is what an undisturbed run removes. A sample by default (INTERRUPTIONS_SEED chooses it). INTERRUPTIONS takes
 * more of them, `all` (every write of both runs in every way), or rounds by name as the titles of the tests give them:
 * `INTERRUPTIONS=stopAfter:5:3,lose:9:9`.
 */
import { globSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Effect, Gates, type Write } from "./gates.ts";
import { type Inventory, inventoryOf, leftovers } from "./inventory.ts";
import { enginePath } from "../../setup/pulumi.mjs";
import { World } from "./world.ts";

const WAYS = ["stopBefore", "stopAfter", "refuse", "lose"] as const satisfies readonly Effect[];
const SAMPLE = 1;
/** Writes of an undisturbed `up` and `destroy`; the first test fails when they are others. */
const UP_WRITES = [
  "convex POST /api/v1/update_environment_variables",
  "fly POST /v1/apps",
  "fly POST /v1/apps/<app>/secrets",
  "convex POST /api/deploy2/start_push",
  "convex POST /api/deploy2/finish_push",
  "convex function factory:importSecret",
  "convex function factory:importSecret",
  "fly mutation CreateToken",
  "convex function factory:importSecret",
  "convex function factory:configureAgent",
  "convex function factory:applyRuntimeConfig",
  "convex function factory:configureTelegramWebhook",
];
const DESTROY_WRITES = [
  "convex function factory:deleteTelegramWebhook",
  "convex function factory:retireRuntimeConfig",
  "convex function factory:setAgentEnabled",
  "convex function factory:removeSecret",
  "convex function factory:removeSecret",
  "fly mutation DeleteToken",
  "convex function factory:removeSecret",
  "convex POST /api/v1/update_environment_variables",
  "fly DELETE /v1/apps/<app>",
];

interface Interruption {
  way: (typeof WAYS)[number];
  up: number;
  destroy: number;
}

/** A round by its name, `<way>:<write of up>:<write of destroy>`. @throws Error that says what a name may be. */
function named(round: string): Interruption {
  const [word, ...writes] = round.split(":");
  const way = WAYS.find((known) => known === word);
  const [up = 0, destroy = 0] = writes.map(Number);
  if (way && UP_WRITES[up - 1] !== undefined && DESTROY_WRITES[destroy - 1] !== undefined) {
    return { way, up, destroy };
  }
  throw new Error(
    `INTERRUPTIONS: '${round}' is no round; expected <${WAYS.join("|")}>:<1..${UP_WRITES.length}>:<1..${DESTROY_WRITES.length}>, a number or 'all'`,
  );
}

/** Every write of `up` in every way, each round with a write of `destroy` too; or a sample. */
function interruptions(): Interruption[] {
  const all = UP_WRITES.flatMap((_, index) =>
    WAYS.map((way) => ({ way, up: index + 1, destroy: (index % DESTROY_WRITES.length) + 1 })),
  );
  const wanted = process.env["INTERRUPTIONS"] ?? String(SAMPLE);
  if (wanted === "all") return all;
  if (!/^\d+$/.test(wanted)) return wanted.split(",").map(named);
  const seed = Number(process.env["INTERRUPTIONS_SEED"] ?? 1);
  // Strides without a common divisor with the number of writes, so that seeds reach all of them.
  return Array.from({ length: Number(wanted) }, (_, index) => ({
    way: WAYS[(seed + index) % WAYS.length] ?? "stopAfter",
    up: ((seed * 5 + index * 7) % UP_WRITES.length) + 1,
    destroy: ((seed * 3 + index * 3) % DESTROY_WRITES.length) + 1,
  }));
}

const gates = new Gates();
let world: World;
let undisturbed: Inventory;

beforeAll(async () => {
  // Mended drift is a new revision: its rollout would boot a gateway, which is no matter of this file.
  world = await World.start(
    { "rollout.wait": false },
    { stack: "local", cloud: async (own) => gates.through(own) },
  );
});

afterAll(async () => {
  await world?.stop();
  await gates.close();
});

function general({ plane, what }: Write): string {
  return `${plane} ${what}`.replace(/af-local-[0-9a-f]{8}/, "<app>");
}

/** Runs a command that meets the interruption at its n-th write, and says how the command ended. */
async function interrupted(
  command: "up" | "destroy",
  way: Effect,
  nth: number,
): Promise<{ code: number; output: string; met: string }> {
  gates.reset();
  let met: Write | null = null;
  gates.effect = (write) => {
    // Once killed the engine's tools may still have calls on the way; none of them counts.
    if (write.nth !== nth) return "pass";
    met = write;
    return way;
  };
  gates.stop = () => world.killEngine();
  const run = await world.environment.stack[command]();
  gates.reset();
  if (met === null) throw new Error(`${command} made no write number ${nth}:\n${run.output}`);
  return { ...run, met: general(met) };
}

/** Runs `up` again as an operator does, who follows docs/deploy.md. */
async function upAgain(killed: boolean): Promise<void> {
  const { stack } = world.environment;
  if (killed) {
    const locked = await stack.up();
    expect(locked.code).not.toBe(0);
    expect(locked.output).toContain("the stack is currently locked by 1 lock(s)");
    expect(locked.output).toContain("delete the lock file with `pulumi cancel`");
    const cancelled = await stack.cancel();
    expect(cancelled.code, cancelled.output).toBe(0);
    const refreshed = await stack.refresh(["--clear-pending-creates"]);
    expect(refreshed.code, refreshed.output).toBe(0);
  }
  const run = await stack.up();
  expect(run.code, run.output).toBe(0);
}

/** Runs `destroy` again as a local environment does: it recovers by itself when it is prepared. */
async function destroyAgain(): Promise<void> {
  const { stack } = world.environment;
  await stack.prepare();
  const run = await stack.destroy();
  expect(run.code, run.output).toBe(0);
}

/** What somebody changes by hand, by the resource that has to notice it. */
const drifts: Record<string, () => Promise<unknown>> = {
  "fly-secrets": async () =>
    world.fly("POST", `/v1/apps/${world.app}/secrets`, { values: { OPENAI_API_KEY: "somebody-elses" } }),
  "fly-token": async () => world.revokeTokensOf(world.app),
  "convex-env": async () => world.setVariable("WORKER_TOKEN_KEY", null),
  "convex-secret-convex-url": async () =>
    world.backend.run("factory:removeSecret", { secretRef: "convex.url" }),
  "runtime-config": async () => {
    const { revision, config, owner } = await world.backend.run<{
      revision: number;
      config: { lease: object };
      owner: string;
    }>("factory:runtimeConfig");
    await world.backend.run("factory:applyRuntimeConfig", {
      config: { ...config, lease: { ...config.lease, leaseMs: 61_000 } },
      expectedRevision: revision,
      owner,
      actor: "somebody",
    });
  },
  "telegram-webhook-default": async () => world.pointWebhookAt("https://elsewhere.example/hook"),
};

describe("an up that nobody disturbs", () => {
  it("is previewed without any credential and without a call", async () => {
    gates.reset();
    const { stack } = world.environment;
    const seen = await stack.tool("env", [
      ...["FLY_API_TOKEN", "CONVEX_SELF_HOSTED_ADMIN_KEY"].flatMap((name) => ["-u", name]),
      ...[
        enginePath(),
        "preview",
        "--stack",
        stack.name,
        "--config-file",
        stack.configFile,
        "--non-interactive",
      ],
    ]);
    expect(seen.code, seen.output).toBe(0);
    expect(seen.output).toContain("to create");
    expect(gates.calls).toBe(0);
  });

  it("makes each thing once, the webhook last", async () => {
    await world.up();
    // Independent branches of the graph run side by side: their order is not one.
    expect(gates.writes.map(general).sort()).toEqual([...UP_WRITES].sort());
    expect(gates.writes.map(general).at(-1)).toBe("convex function factory:configureTelegramWebhook");
    undisturbed = await inventoryOf(world);
    expect(undisturbed).toMatchObject({ tokens: [expect.stringContaining("local scaler")], pending: [] });
  });

  it("is read again after an engine was killed while it wrote notes beside the state", async () => {
    const { stack, stateDir } = world.environment;
    const cwd = join(stateDir, "pulumi", ".pulumi");
    const state = join(cwd, "stacks", "agent-factory", `${stack.name}.json`);
    expect(globSync("**/*.json", { cwd })).toContain(relative(cwd, state));
    // What the engine of an earlier release leaves; this one's writes none.
    expect(globSync("**/*.attrs", { cwd })).toEqual([]);
    writeFileSync(`${state}.attrs`, "");
    const cut = await stack.preview();
    expect(cut.output).toContain("failed to load checkpoint: EOF");
    await stack.prepare();
    expect((await stack.outputs())["flyAppName"]).toBe(world.app);
  });

  it("is compared with what is there by a preview that writes nothing and names every drift; up repairs it", async () => {
    const { stack } = world.environment;
    for (const change of Object.values(drifts)) await change();
    gates.reset();
    const seen = await stack.preview(["--refresh", "--expect-no-changes"]);
    expect(seen.code).not.toBe(0);
    // What is as it should be is not listed.
    for (const name of Object.keys(drifts)) expect(seen.output).toContain(`::${name}]`);
    expect(gates.writes).toEqual([]);
    for (const [name, secret] of Object.entries(world.secrets())) {
      expect(seen.output.includes(secret), `${name} in the preview`).toBe(false);
    }
    const repaired = await stack.up(undefined, ["--refresh"]);
    expect(repaired.code, repaired.output).toBe(0);
    // The mended config is a revision of its own: its rollout may have a machine.
    const { machines, rollout } = undisturbed;
    expect({ ...(await inventoryOf(world)), machines, rollout }).toEqual(undisturbed);
    const quiet = await stack.preview(["--refresh", "--expect-no-changes"]);
    expect(quiet.code, quiet.output).toBe(0);
  });

  it("is made anew with all that was in its app when somebody deletes that, which a preview names", async () => {
    const { stack } = world.environment;
    await world.fly("DELETE", `/v1/apps/${world.app}?force=true`);
    const seen = await stack.preview(["--refresh", "--expect-no-changes"]);
    expect(seen.code).not.toBe(0);
    for (const name of ["fly-app", "fly-secrets", "fly-token"]) expect(seen.output).toContain(`::${name}]`);
    const repaired = await stack.up(undefined, ["--refresh"]);
    expect(repaired.code, repaired.output).toBe(0);
    const { machines, rollout } = undisturbed;
    expect({ ...(await inventoryOf(world)), machines, rollout }).toEqual(undisturbed);
    const quiet = await stack.preview(["--refresh", "--expect-no-changes"]);
    expect(quiet.code, quiet.output).toBe(0);
  });

  it("is removed whole by its destroy, ingress first and the app last", async () => {
    gates.reset();
    const destroyed = await world.environment.stack.destroy();
    expect(destroyed.code, destroyed.output).toBe(0);
    const order = gates.writes.map(general).filter((what) => !what.includes("/machines/"));
    expect([...order].sort()).toEqual([...DESTROY_WRITES].sort());
    expect(order.slice(0, 2)).toEqual(DESTROY_WRITES.slice(0, 2));
    expect(order.indexOf("fly mutation DeleteToken")).toBeLessThan(
      order.indexOf("fly DELETE /v1/apps/<app>"),
    );
    expect(await leftovers(world)).toEqual([]);
  });
});

/** Takes down what a failed round has left, so that the next one starts from nothing. */
async function clean(): Promise<void> {
  gates.reset();
  await world.environment.stack.cancel();
  await world.environment.stack.destroy();
}

describe("an up that is cut off, then run again", () => {
  let done = true;
  beforeEach(async () => {
    if (!done) await clean();
    done = false;
  });

  it.each(interruptions())("round $way:$up:$destroy", async ({ way, up, destroy }) => {
    const killed = way === "stopBefore" || way === "stopAfter";
    const first = await interrupted("up", way, up);
    // A call that was refused or whose answer was lost may have been made again within the run.
    if (killed) expect(first.code, first.met).not.toBe(0);
    await upAgain(killed);
    expect(await inventoryOf(world), first.met).toEqual(undisturbed);
    const quiet = await world.environment.stack.up(undefined, ["--expect-no-changes"]);
    expect(quiet.code, quiet.output).toBe(0);

    const last = await interrupted("destroy", way, destroy);
    if (killed) expect(last.code, last.met).not.toBe(0);
    await destroyAgain();
    expect(await leftovers(world), last.met).toEqual([]);
    done = true;
  });
});
