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
          // Three files at a time: each waits for turns, leases and drains more than it computes.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
