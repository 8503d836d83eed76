import { afterEach, expect, test, vi } from "vitest";
import { stormConfig, weather } from "./faultStorm.ts";
import { current, World } from "./world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

let world: World;
afterEach(async () => {
  await world.close();
});

// More seeds: tests/sim/scaler.test.ts.
test.each([1, 2, 3])(
  "seed %i: 30 faults; the ceiling holds, nothing is orphaned, every message is answered",
  async (seed) => {
    // Actions that die are part of the storm; convex-test tells of each.
    const told = vi.spyOn(console, "error").mockImplementation(() => undefined);
    world = await World.start(stormConfig());
    expect((await weather(world, seed, 30)).faults).toBeGreaterThanOrEqual(30);
    told.mockRestore();
  },
);
