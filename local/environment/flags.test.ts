import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readFlags } from "./flags.ts";

const known = { destroy: "runs `pulumi destroy` at the end" };

test("flags are read, help is printed, and a misspelt one is told with the usage", () => {
  expect(readFlags(["--destroy"], "npm run local", known)).toEqual({ given: new Set(["destroy"]) });
  expect(readFlags([], "npm run local", known)).toEqual({ given: new Set() });
  const usage = "npm run local -- [--destroy]\n  --destroy  runs `pulumi destroy` at the end";
  expect(readFlags(["--help"], "npm run local", known)).toEqual({ print: usage, exitCode: 0 });
  expect(readFlags(["--destory"], "npm run local", known)).toEqual({
    print: expect.stringMatching(/'--destory'[^]*npm run local -- \[--destroy\]/),
    exitCode: 2,
  });
});

test.each(["local/main.ts", "local/demo/main.ts"])(
  "%s starts nothing for a flag that it does not have",
  (file) => {
    const root = join(import.meta.dirname, "..", "..");
    const run = (flag: string) => spawnSync(process.execPath, [join(root, file), flag], { encoding: "utf8" });
    expect(run("--nosuch")).toMatchObject({ status: 2, stdout: "" });
    const help = run("--help");
    expect(help.status).toBe(0);
    expect(help.stdout).toContain("npm run ");
  },
);
