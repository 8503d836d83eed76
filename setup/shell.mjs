// eval "$(node setup/shell.mjs)": puts `pulumi`, the project's Node and whatever stands in for Pulumi's hosted
// programs on this shell's PATH, as `npm run demo` and `npm run local` have them.
import { realpathSync } from "node:fs";
import { delimiter } from "node:path";
import { fileURLToPath } from "node:url";

import { pulumi } from "./pulumi.mjs";

/** Variables of the engine's environment that a shell needs, besides PATH. */
const names = [
  "PULUMI_NODEJS_TRANSPILE_ONLY",
  "PULUMI_SKIP_UPDATE_CHECK",
  "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
];

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The lines to evaluate. @param {NodeJS.ProcessEnv} base @throws Error when the set-up is missing */
export function shellLines(base = process.env) {
  const { env } = pulumi({}, base);
  const before = new Set((base.PATH ?? "").split(delimiter));
  const added = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "" && !before.has(folder));
  return [
    ...(added.length === 0 ? [] : [`export PATH=${quoted(added.join(delimiter))}${delimiter}"$PATH"`]),
    ...names.flatMap((name) => (env[name] === undefined ? [] : [`export ${name}=${quoted(env[name])}`])),
  ];
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    process.stdout.write(`${shellLines().join("\n")}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
