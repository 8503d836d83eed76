// Writes every provider as the engine does: compiled as the Pulumi program is, turned into text, one JSON object on
// stdout from the provider's file name to its text. Runs in infra/, in a process of its own.
const fs = require("node:fs");
const path = require("node:path");
/** @type {any} its types leave out what the engine's own start calls */
const tsutils = require("@pulumi/pulumi/tsutils.js");

const { tsnodeRequire, typescriptRequire } = tsutils.typeScriptRequireStrings();
require(tsnodeRequire).register({
  compiler: require.resolve(typescriptRequire),
  transpileOnly: true,
  project: path.resolve("tsconfig.json"),
});
const { serializeFunction } = require("@pulumi/pulumi").runtime;

async function main() {
  /** @type {Record<string, string>} */
  const texts = {};
  for (const file of fs.readdirSync("providers").filter((name) => /^\w+\.ts$/.test(name))) {
    const found = Object.entries(require(path.resolve("providers", file))).find(([name]) =>
      name.endsWith("Provider"),
    );
    if (!found) continue;
    const [, Provider] = found;
    const provider = new Provider();
    const { text } = await serializeFunction(() => provider, { allowSecrets: true });
    texts[file.replace(/\.ts$/, "")] = text;
  }
  process.stdout.write(JSON.stringify(texts));
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
