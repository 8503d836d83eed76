import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          include: [
            "{cli,infra,local,setup,tests,runtime/worker,runtime/client}/**/*.test.ts",
            "runtime/convex/policy/**/*.test.ts",
          ],
          exclude: ["**/node_modules/**", "tests/e2e/**", "tests/faults/**", "tests/sim/**"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "convex",
          environment: "edge-runtime",
          include: ["runtime/convex/**/*.test.ts"],
          exclude: ["runtime/convex/policy/**"],
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "system",
          include: ["tests/{e2e,faults,sim}/**/*.test.ts"],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // Two environments at a time: they mostly wait for gateways to boot, each of which keeps one core busy.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
