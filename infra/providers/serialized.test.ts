import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import Module, { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startFly } from "../../local/fly/server.ts";
import { ConvexManagementApi, TEAM_TOKEN } from "../testing/convexManagementApi.ts";

const INFRA = fileURLToPath(new URL("..", import.meta.url));
const CREDENTIALS = [
  "FLY_API_TOKEN",
  "CONVEX_TEAM_TOKEN",
  "CONVEX_DEPLOY_KEY",
  "CONVEX_SELF_HOSTED_ADMIN_KEY",
] as const;
let texts: Record<string, string>;

beforeAll(() => {
  const canaries = Object.fromEntries(CREDENTIALS.map((name) => [name, `canary-of-${name}`]));
  const script = ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "testing/serializedProviders.cjs"];
  const written = execFileSync(process.execPath, script, {
    cwd: INFRA,
    env: { PATH: process.env["PATH"], ...canaries },
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  texts = JSON.parse(written) as Record<string, string>;
});
afterAll(() => {
  for (const name of CREDENTIALS) delete process.env[name];
});

/** The provider that the text describes, as the engine's process for dynamic providers makes it. */
function revive(name: string): pulumi.dynamic.ResourceProvider {
  const file = join(INFRA, "revived.cjs");
  // Node's own way to run text as a file; its types leave out what is not public.
  const revived = new Module(file) as unknown as {
    require: NodeJS.Require;
    exports: { handler: () => pulumi.dynamic.ResourceProvider };
    _compile: (text: string, file: string) => void;
  };
  revived.require = createRequire(file);
  revived._compile(texts[name] ?? "", file);
  return revived.exports.handler();
}

describe("a provider's code, which the engine keeps as text in the state", () => {
  it("is written for every provider, small and without credentials", () => {
    expect(Object.keys(texts)).toEqual([
      "agentProfile",
      "backendSecret",
      "convexDeployment",
      "convexEnv",
      "flyApp",
      "flySecrets",
      "flyToken",
      "runtimeConfig",
      "telegramWebhook",
    ]);
    for (const [name, text] of Object.entries(texts)) {
      expect(text, name).not.toContain("canary-of-");
      // A library is required where the provider runs; captured, it would be megabytes.
      expect(text.length, name).toBeLessThan(60_000);
    }
  });

  it("makes and deletes an app when it is run from that text", async () => {
    const stateDir = await mkdtemp(join(tmpdir(), "infra-serialized-"));
    const fly = await startFly({ stateDir, rateLimit: false });
    process.env["FLY_API_TOKEN"] = fly.orgToken;
    try {
      const provider = revive("flyApp");
      const inputs = {
        apiUrl: fly.url,
        name: "af-serialized",
        organization: "personal",
        network: "af-0123",
        adoptUnowned: false,
      };
      const { id, outs } = await provider.create(inputs);
      expect((await provider.read?.(id, outs))?.id).toBe("af-serialized");
      await provider.delete?.(id, outs);
      expect((await provider.read?.(id, outs))?.id).toBe("");
    } finally {
      await fly.close();
      await rm(stateDir, { recursive: true, force: true });
    }
  });

  it("shares one minted key among the providers of a process", async () => {
    const management = await new ConvexManagementApi().start();
    process.env["CONVEX_TEAM_TOKEN"] = TEAM_TOKEN;
    try {
      const { id, outs } = await revive("convexDeployment").create({
        managementUrl: management.url,
        projectName: "Agents",
        reference: "staging",
        type: "prod",
        region: null,
        owner: "o",
      });
      management.variables[id] = { FACTORY_OWNER: "o", A: "1" };
      const url = (outs as { url: string }).url;
      const convex = { mode: "provisioned", url, managementUrl: management.url, deploymentName: id };
      for (let copy = 0; copy < 3; copy++) {
        const state = { convex, owner: "o", variables: { A: "0" } };
        expect((await revive("convexEnv").read?.("x", state))?.props).toMatchObject({
          variables: { A: "1" },
        });
      }
      expect(management.keysMinted).toBe(1);
    } finally {
      await management.stop();
    }
  });
});
