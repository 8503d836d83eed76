/** Fails every call of an operation in every way, runs it again, and compares with a run that nothing disturbed. */
import { expect } from "vitest";
import { FAULTS, type FaultRelay } from "./faultRelay.ts";

/** One operation in a world of its own. */
export interface Scene {
  /** The operation, as the engine calls it; called again, with the same state, when it failed. */
  run: () => Promise<unknown>;
  /** What stands outside afterwards, without names and versions that differ between worlds. */
  observe: () => Promise<unknown>;
}

export interface ConvergenceFigures {
  calls: number;
  runs: number;
  failed: number;
}

/**
 * @param prepare makes a fresh world; its calls are not counted.
 * @param canaries values that may be in no error.
 */
export async function expectConvergence(
  relay: FaultRelay,
  prepare: () => Promise<Scene>,
  canaries: readonly string[] = [],
): Promise<ConvergenceFigures> {
  relay.rest();
  const undisturbed = await prepare();
  relay.rest();
  await undisturbed.run();
  const calls = relay.calls.length;
  const wanted = await undisturbed.observe();
  const figures: ConvergenceFigures = { calls, runs: 0, failed: 0 };
  for (const fault of FAULTS) {
    for (let nth = 1; nth <= calls; nth++) {
      relay.rest();
      const scene = await prepare();
      relay.arm(nth, fault);
      const error = await scene.run().then(
        () => null,
        (reason: unknown) => reason,
      );
      relay.rest();
      figures.runs += 1;
      if (error !== null) {
        figures.failed += 1;
        const text = `${(error as Error).message}\n${(error as Error).stack}\n${String((error as Error).cause)}`;
        for (const canary of canaries) expect(text, `${fault} at call ${nth}`).not.toContain(canary);
        await scene.run();
      }
      expect(await scene.observe(), `${fault} at call ${nth} of ${calls}`).toEqual(wanted);
    }
  }
  return figures;
}
