/** This repository's backend on an embedded deployment, with workers that answer: what a consumer app talks to. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startConvex } from "../../../local/convex/server.ts";
import { type Backend, backendAt } from "../../../local/environment/backend.ts";
import { startMachines } from "./machines.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const CLI = join(ROOT, "node_modules/convex/bin/main.js");
const OWNER = "agent-factory/client/0123456789abcdef";

export interface Deployment {
  siteUrl: string;
  /** The operator's functions. */
  backend: Backend;
  /** A service key of the company. */
  keyOf(companyId: string, more?: { scopes?: string[]; requestsPerMinute?: number }): Promise<string>;
  close(): Promise<void>;
}

async function deploy(url: string, adminKey: string): Promise<void> {
  const env = {
    PATH: process.env["PATH"],
    HOME: tmpdir(),
    CI: "1",
    CONVEX_SELF_HOSTED_URL: url,
    CONVEX_SELF_HOSTED_ADMIN_KEY: adminKey,
  };
  const args = [CLI, "deploy", "--codegen", "disable", "--typecheck", "disable"];
  await promisify(execFile)(process.execPath, args, { cwd: ROOT, env, timeout: 50_000 });
}

async function setEnvironment(url: string, adminKey: string): Promise<void> {
  const key = (): string => randomBytes(32).toString("base64");
  const variables = {
    FACTORY_OWNER: OWNER,
    WORKER_TOKEN_KEY: key(),
    SECRETS_KEY_RING: JSON.stringify({ active: "k1", keys: { k1: key() } }),
    TELEGRAM_WEBHOOK_SECRETS: JSON.stringify({ current: key(), previous: null }),
  };
  const response = await fetch(`${url}/api/v1/update_environment_variables`, {
    method: "POST",
    headers: { authorization: `Convex ${adminKey}`, "content-type": "application/json" },
    body: JSON.stringify({ changes: Object.entries(variables).map(([name, value]) => ({ name, value })) }),
  });
  if (!response.ok) throw new Error(`The environment was not set: ${response.status}`);
}

/** @param answer what the agent `default` says to a message. Default: repeats it. */
export async function startDeployment(
  answer: (text: string) => string = (text) => `You said: ${text}`,
): Promise<Deployment> {
  const state = mkdtempSync(join(tmpdir(), "client-test-"));
  const convex = await startConvex({ state });
  const machines = await startMachines(answer);
  const close = async (): Promise<void> => {
    await machines.close();
    await convex.close();
    rmSync(state, { recursive: true, force: true, maxRetries: 3 });
  };
  try {
    const adminKey = readFileSync(convex.adminKeyFile, "utf8").trim();
    await setEnvironment(convex.url, adminKey);
    await deploy(convex.url, adminKey);
    const backend = backendAt(convex);
    const secrets = { "convex.url": convex.siteUrl, "fly.apiToken": "token" };
    for (const [secretRef, plaintextValue] of Object.entries(secrets)) {
      await backend.run("factory:importSecret", { secretRef, plaintextValue });
    }
    const image = `registry.example/worker@sha256:${"0".repeat(64)}`;
    const provider = {
      apiUrl: machines.url,
      appName: "app",
      organizationSlug: "personal",
      image,
      regions: ["fra"],
    };
    await backend.run("factory:applyRuntimeConfig", {
      // A loopback Bot API marks the environment as an embedded one, whose webhooks may go to loopback.
      config: { provider, telegram: { apiUrl: "http://127.0.0.1:9" } },
      expectedRevision: null,
      owner: OWNER,
      actor: "test",
    });
    const profile = { agentKey: "default", version: "1", soulMd: "Repeat.", enabled: true };
    await backend.run("factory:configureAgent", { ...profile, skills: [], secretsRef: [] });
    return {
      siteUrl: convex.siteUrl,
      backend,
      async keyOf(companyId, more = {}) {
        const args = { name: "app", companyId, ...more };
        return (await backend.run<{ serviceKey: string }>("factory:createServiceKey", args)).serviceKey;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
