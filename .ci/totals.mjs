// Adds up what .ci/run found. Plain JavaScript for Node 20, whatever Node comes first on PATH.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Names of the scripts that `npm run check` runs. @param {string} check */
export function checkParts(check) {
  return [...check.matchAll(/npm run ([\w:-]+)/g)].map((match) => match[1]);
}

/**
 * Totals of vitest's JSON report. A file that did not load, and a run that failed though every test passed
 * (an error outside of tests, a crash, no report), count as one failure each.
 * @param {{ testResults: { name: string, status: string, message?: string, assertionResults: { status: string, fullName: string }[] }[] } | undefined} report
 * @param {number} exitCode of `npm test`
 * @param {number} failedChecks
 */
export function totals(report, exitCode, failedChecks) {
  const files = report?.testResults ?? [];
  const tests = files.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: file.name })));
  const failed = tests
    .filter((test) => test.status === "failed")
    .map((test) => `${test.file}: ${test.fullName}`);
  const broken = files
    .filter(
      (file) => file.status === "failed" && file.assertionResults.every((test) => test.status !== "failed"),
    )
    .map((file) => `${file.name}: did not load`);
  const named = [...failed, ...broken];
  if (exitCode !== 0 && named.length === 0) {
    named.push(`npm test exited with ${exitCode}${report === undefined ? " and left no report" : ""}`);
  }
  return {
    passed: tests.filter((test) => test.status === "passed").length,
    failed: named.length + failedChecks,
    named,
  };
}

/** @param {string} path */
function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined; // the run ended before its report: `totals` counts that
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [mode, path = "", exitCode = "1", failedChecks = "0"] = process.argv.slice(2);
  if (mode === "check-parts") {
    const manifest = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
    console.info(checkParts(manifest.scripts.check).join("\n"));
  } else {
    const { passed, failed, named } = totals(readReport(path), Number(exitCode), Number(failedChecks));
    for (const name of named) console.info(`failed test: ${name}`);
    console.info(`${passed} passed, ${failed} failed`);
    process.exitCode = failed === 0 ? 0 : 1;
  }
}
