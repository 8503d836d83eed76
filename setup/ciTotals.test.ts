import { describe, expect, it } from "vitest";

import { checkParts, totals } from "../.ci/totals.mjs";

const test = (status: string, fullName: string) => ({ status, fullName });
const report = (...files: Parameters<typeof file>[]) => ({
  testResults: files.map((given) => file(...given)),
});
const file = (name: string, status: string, ...assertionResults: ReturnType<typeof test>[]) => ({
  name,
  status,
  assertionResults,
});

describe("totals of .ci/run", () => {
  it("sums the tests of all files", () => {
    const twoFiles = report(
      ["a.test.ts", "passed", test("passed", "one"), test("passed", "two")],
      ["b.test.ts", "failed", test("passed", "three"), test("failed", "four")],
    );
    expect(totals(twoFiles, 1, 0)).toEqual({ passed: 3, failed: 1, named: ["b.test.ts: four"] });
  });

  it("counts a file that did not load as one failure", () => {
    const broken = report(["a.test.ts", "passed", test("passed", "one")], ["b.test.ts", "failed"]);
    expect(totals(broken, 1, 0)).toEqual({ passed: 1, failed: 1, named: ["b.test.ts: did not load"] });
  });

  it("counts a run that failed outside of its tests", () => {
    const passed = report(["a.test.ts", "passed", test("passed", "one")]);
    expect(totals(passed, 1, 0)).toMatchObject({ passed: 1, failed: 1, named: ["npm test exited with 1"] });
  });

  it("counts a run without a report", () => {
    expect(totals(undefined, 124, 0)).toMatchObject({
      passed: 0,
      failed: 1,
      named: ["npm test exited with 124 and left no report"],
    });
  });

  it("adds the failed checks", () => {
    const passed = report(["a.test.ts", "passed", test("passed", "one")]);
    expect(totals(passed, 0, 2)).toEqual({ passed: 1, failed: 2, named: [] });
  });
});

describe("checkParts", () => {
  it("reads the parts from the check script", () => {
    expect(checkParts("npm run format:check && npm run lint")).toEqual(["format:check", "lint"]);
  });
});
