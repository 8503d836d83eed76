/**
 * An environment of a committed config as it is (Pulumi.staging.yaml, Pulumi.prod.yaml, a preview's), with its choices
 * of backend, builder, model and policies; only addresses and credentials are those of local services.
 */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { projectRoot } from "../../local/environment/environment.ts";
import type { Cloud } from "../../local/environment/services.ts";
import type { PulumiRun } from "../../local/environment/stack.ts";
import { ConvexCloud } from "./convexCloud.ts";
import { World } from "./world.ts";

/** Intervals that decide how long a test waits and nothing else. */
const FASTER = {
  "policies.scaling.reconcileIntervalMs": 2_000,
  "policies.rollout.gateObserveMs": 3_000,
};

export interface Committed {
  world: World;
  convex: ConvexCloud;
  /** What flyctl was asked to build, as `<app>:<label>`. */
  builds(): string[];
  /** `.github/pin-image.sh` on this stack's config. */
  pin(image: string): Promise<PulumiRun>;
  stop(): Promise<void>;
}

/**
 * @param options.fly another environment's Fly, to stand beside it.
 * @param options.configFile relative to the project; `Pulumi.<stack>.yaml` by default.
 * @param options.overrides config by dotted path that people set beside the committed one.
 */
export async function startCommitted(
  stack: string,
  options: { fly?: Cloud["fly"]; configFile?: string; overrides?: Record<string, unknown> } = {},
): Promise<Committed> {
  const { fly, configFile = `Pulumi.${stack}.yaml` } = options;
  const convex = new ConvexCloud();
  const folder = mkdtempSync(join(tmpdir(), "af-committed-"));
  const journal = join(folder, "flyctl.log");
  const world = await World.start(
    { ...FASTER, ...options.overrides },
    {
      stack,
      cloud: async (own) => {
        await convex.start(own.convex);
        return fly ? { ...own, fly } : own;
      },
      options: () => ({
        configFile,
        asCommitted: { managementUrl: convex.managementUrl },
        env: {
          ...convex.env,
          FLYCTL_JOURNAL: journal,
          PATH: [join(projectRoot, "tests", "e2e", "flyctl"), process.env["PATH"] ?? ""].join(delimiter),
        },
      }),
    },
  );
  return {
    world,
    convex,
    builds: () => (existsSync(journal) ? readFileSync(journal, "utf8").trim().split("\n") : []),
    // `pulumi config set` writes the stack's file beside a Pulumi.yaml: this environment's, never the repository's.
    pin: async (image) => {
      const cwd = join(world.environment.stateDir, "stack");
      const beside = join(cwd, `Pulumi.${stack}.yaml`);
      const file = world.environment.stack.configFile;
      copyFileSync(file, beside);
      const script = join(projectRoot, ".github", "pin-image.sh");
      const run = await world.environment.stack.tool("bash", [script, stack, image], { cwd });
      copyFileSync(beside, file);
      return run;
    },
    stop: async () => {
      await world.stop();
      await convex.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
