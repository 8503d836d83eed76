/** Injected faults of the machine provider over seeded schedules; see tests/scaler/faultStorm.ts. */
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { stormConfig, weather } from "../scaler/faultStorm.ts";
import { current, World } from "../scaler/world.ts";

vi.mock("../../runtime/convex/machines/createProvider.ts", async (original) => ({
  ...(await original<object>()),
  createProvider: () => current.provider,
}));

/** Short storms, since the in-memory database slows down as it grows. */
const FAULTS_PER_SEED = 30;
/** A few of them in every test run; `SCALER_STORMS=170` injects the 5,000 faults of a release. */
const STORMS = Number(process.env["SCALER_STORMS"] ?? "12");
const SEEDS = Array.from({ length: STORMS }, (_, index) => 1_000 + index);

let world: World;
let injected = 0;
afterEach(async () => {
  await world.close();
});
afterAll(() => {
  process.stdout.write(`${injected} faults over ${SEEDS.length} schedules\n`);
});

test.each(SEEDS)("seed %i", async (seed) => {
  const told = vi.spyOn(console, "error").mockImplementation(() => undefined);
  world = await World.start(stormConfig());
  const faults = await weather(world, seed, FAULTS_PER_SEED);
  injected += faults;
  expect(faults).toBeGreaterThanOrEqual(FAULTS_PER_SEED);
  told.mockRestore();
});
