/**
 * Stands in for flyctl where a committed config asks for Fly's remote builder: takes the documented flags of
 * `flyctl deploy` and no others, notes the call in FLYCTL_JOURNAL, and pushes the worker's tree to the embedded
 * registry under the label that it was given.
 */
import { appendFileSync, existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { buildLocally } from "../../../infra/image/local.ts";
import { RegistryClient } from "../../../infra/image/registry.ts";

function environment(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  strict: true,
  options: {
    app: { type: "string" },
    config: { type: "string" },
    dockerfile: { type: "string" },
    "image-label": { type: "string" },
    "build-arg": { type: "string", multiple: true },
    "build-only": { type: "boolean" },
    push: { type: "boolean" },
    "remote-only": { type: "boolean" },
    depot: { type: "string" },
  },
});
const [command, root = ""] = positionals;
const { app = "", "image-label": label = "", config = "", dockerfile = "" } = values;
if (command !== "deploy" || !app || !label)
  throw new Error(`not a build: ${process.argv.slice(2).join(" ")}`);
// As the real one: --build-only alone does not push.
if (!values["build-only"] || !values.push || !values["remote-only"])
  throw new Error("nothing would be pushed");
for (const file of [config, dockerfile]) if (!existsSync(file)) throw new Error(`there is no ${file}`);
appendFileSync(environment("FLYCTL_JOURNAL"), `${app}:${label}\n`);
const token = environment("FLY_API_TOKEN");
await buildLocally({
  root,
  app,
  tag: label,
  platform: "linux/amd64",
  cache: null,
  sourceRevision: "",
  token,
  registry: new RegistryClient(environment("IMAGE_REGISTRY_URL"), token),
  progress: (line) => process.stderr.write(`${line}\n`),
});
process.stdout.write(`image: registry.fly.io/${app}:${label}\n`);
