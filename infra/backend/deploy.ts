/**
 * Runs the unmodified `convex deploy` against the stack's deployment. Environment: CONVEX_ACCESS (JSON of
 * ConvexAccess) and the credential that its mode asks for. The key goes to the CLI by environment, never argv. The
 * working folder is the project whose convex.json names the functions.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { runTool } from "../image/tool.ts";
import { type ConvexAccess, convexAdminKey } from "../platform/convexKey.ts";

const require = createRequire(import.meta.url);

/** Variables that would point the CLI somewhere else than the stack's deployment. */
const STRAY = [
  "CONVEX_DEPLOYMENT",
  "CONVEX_DEPLOY_KEY",
  "CONVEX_SELF_HOSTED_URL",
  "CONVEX_SELF_HOSTED_ADMIN_KEY",
  "CONVEX_TEAM_TOKEN",
];

async function main(): Promise<void> {
  const access = JSON.parse(process.env["CONVEX_ACCESS"] ?? "null") as ConvexAccess | null;
  if (!access) throw new Error("CONVEX_ACCESS is not set; `pulumi up` sets it from the stack's config");
  const key = await convexAdminKey(access);
  const env = { ...process.env };
  for (const name of STRAY) delete env[name];
  if (access.mode === "selfHosted") {
    env["CONVEX_SELF_HOSTED_URL"] = access.url;
    env["CONVEX_SELF_HOSTED_ADMIN_KEY"] = key;
  } else {
    env["CONVEX_DEPLOY_KEY"] = key;
  }
  await runTool({
    command: process.execPath,
    args: [
      join(dirname(require.resolve("convex/package.json")), "bin/main.js"),
      "deploy",
      "--yes",
      // Types are checked before anything is deployed (`npm run check`), and `up` changes no source file.
      "--typecheck=disable",
      "--codegen=disable",
    ],
    // The project's root, as the stack starts this.
    cwd: process.cwd(),
    env,
    progress: (line) => process.stderr.write(`convex: ${line}\n`),
    missing: "the convex package is not installed. Run `npm ci` in the project's root.",
    timeoutMs: 10 * 60_000,
  });
}

main().catch((error: unknown) => {
  process.stderr.write(`convex: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
