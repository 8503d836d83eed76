#!/usr/bin/env node
// `npx agent-factory …`. Plain JavaScript, so that it starts on any Node: the program itself is TypeScript, which
// the project's own Node runs.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const own = fileURLToPath(new URL("../node_modules/.bin/node", import.meta.url));
const [major = 0] = process.versions.node.split(".").map(Number);

if (major >= 24) {
  await import("./main.ts");
} else if (existsSync(own)) {
  const run = spawnSync(own, [main, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exitCode = run.status ?? 1;
} else {
  process.stderr.write("agent-factory is not set up. Run: node setup/main.mjs\n");
  process.exitCode = 2;
}
