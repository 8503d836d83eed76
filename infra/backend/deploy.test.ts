import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adminKeyOf, temporaryState } from "../../local/convex/testing/fixture.ts";
import { type RunningConvex, startConvex } from "../../local/convex/server.ts";

const SCRIPT = fileURLToPath(new URL("deploy.ts", import.meta.url));
const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../local/convex/fixtures/${name}/`, import.meta.url));

let convex: RunningConvex;
let remove: () => void;
let adminKey: string;

beforeAll(async () => {
  const temporary = temporaryState();
  remove = temporary.remove;
  convex = await startConvex({ state: temporary.state });
  adminKey = adminKeyOf(convex);
});
afterAll(async () => {
  await convex.close();
  remove();
});

/** Runs the script as the stack does: where to by CONVEX_ACCESS, the key by the environment. */
async function deploy(
  app: string,
  env: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> {
  const options = {
    cwd: fixture(app),
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], CI: "1", NO_COLOR: "1", ...env },
    timeout: 50_000,
  };
  return await new Promise((resolve) => {
    const child = execFile(process.execPath, [SCRIPT], options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? 1, stdout, stderr });
    });
  });
}

const selfHosted = (): Record<string, string> => ({
  CONVEX_ACCESS: JSON.stringify({ mode: "selfHosted", url: convex.url }),
  CONVEX_SELF_HOSTED_ADMIN_KEY: adminKey,
  // Left over from another project: it must not decide where this one goes.
  CONVEX_DEPLOYMENT: "prod:somebody-elses-1",
});

async function call(kind: "query" | "mutation", path: string, args: object): Promise<unknown> {
  const answer = await fetch(`${convex.url}/api/${kind}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path, args, format: "json" }),
  });
  return ((await answer.json()) as { value: unknown }).value;
}

describe("deploying the functions", () => {
  it("fails with Convex's words when stored data violates the new schema, and the old code serves", async () => {
    const first = await deploy("app", selfHosted());
    expect(first).toMatchObject({ code: 0, stdout: "" });
    await call("mutation", "messages:send", { channel: "kept", body: "kept" });
    const refused = await deploy("strict", selfHosted());
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('in table "messages" does not match the schema');
    expect(refused.stderr).toContain("missing the required field `author`");
    expect(refused.stderr).not.toContain(adminKey);
    expect(await call("query", "messages:list", { channel: "kept" })).toHaveLength(1);
  });

  it("names the credential that its mode asks for when it is missing", async () => {
    const { code, stderr } = await deploy("app", {
      CONVEX_ACCESS: JSON.stringify({ mode: "existing", url: "https://happy-otter-123.convex.cloud" }),
    });
    expect(code).toBe(1);
    expect(stderr).toContain("convex: CONVEX_DEPLOY_KEY is not set.");
  });
});
