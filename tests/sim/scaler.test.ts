/** Injected faults of the machine provider over seeded schedules; see tests/scaler/faultStorm.ts. */
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { MAX_WORKERS, type StormReport, stormConfig, weather } from "../scaler/faultStorm.ts";
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
const reports: StormReport[] = [];
afterEach(async () => {
  await world.close();
});
afterAll(() => {
  const sum = (pick: (report: StormReport) => number): number =>
    reports.reduce((total, report) => total + pick(report), 0);
  const kinds = [...new Set(reports.flatMap((report) => [...report.byKind.keys()]))].sort();
  const machinesMax = Math.max(0, ...reports.map((report) => report.machinesMax));
  const lines = [
    `${sum((report) => report.faults)} faults injected over ${reports.length} of ${SEEDS.length} schedules that held:`,
    ...kinds.map((kind) => `  ${sum((report) => report.byKind.get(kind) ?? 0)} ${kind}`),
    `${sum((report) => report.answered)} messages answered; 0 orphans; at most ${machinesMax} machines of ${MAX_WORKERS}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
});

test.each(SEEDS)("seed %i", async (seed) => {
  const told = vi.spyOn(console, "error").mockImplementation(() => undefined);
  world = await World.start(stormConfig());
  const report = await weather(world, seed, FAULTS_PER_SEED);
  expect(report.faults).toBeGreaterThanOrEqual(FAULTS_PER_SEED);
  reports.push(report);
  told.mockRestore();
});
