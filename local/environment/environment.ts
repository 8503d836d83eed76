/** One environment on the embedded cloud: its services, its stack, its bot, and the file that tells where they are. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { request } from "undici";
import { type RunningCloud, type ServiceName, startCloud } from "./services.ts";
import { LocalStack } from "./stack.ts";

export const projectRoot = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export interface LocalEnvironment {
  stateDir: string;
  cloud: RunningCloud;
  stack: LocalStack;
  bot: { username: string; token: string };
  model: { name: string; real: boolean };
}

/** Keys that make the environment use a real provider, with the variable that names the model. */
const REAL_MODEL_KEYS = ["OPENAI_API_KEY", "MOONSHOT_API_KEY", "ANTHROPIC_API_KEY"] as const;

/** A real provider when OPENCLAW_AGENT_MODEL and one of its keys are set, else the stub. */
export function chooseModel(
  env: NodeJS.ProcessEnv,
  stubUrl: string,
): { name: string; baseUrl?: string; keys: Record<string, string>; real: boolean } {
  const name = env["OPENCLAW_AGENT_MODEL"]?.trim();
  const keys = Object.fromEntries(
    REAL_MODEL_KEYS.flatMap((key) => (env[key] ? [[key, env[key]] as const] : [])),
  ) as Record<string, string>;
  if (name && Object.keys(keys).length > 0) {
    const baseUrl = env["OPENCLAW_MODEL_BASE_URL"];
    return { name, keys, real: true, ...(baseUrl ? { baseUrl } : {}) };
  }
  return {
    name: "openai/echo-1",
    baseUrl: `${stubUrl}/v1`,
    keys: { OPENAI_API_KEY: "embedded-model-stub" },
    real: false,
  };
}

/** The bot of this environment, made once and registered with the embedded Telegram. */
async function ensureBot(
  stateDir: string,
  telegramUrl: string,
): Promise<{ username: string; token: string }> {
  const file = join(stateDir, "bot.json");
  if (!existsSync(file)) {
    const id = 1_000_000_000 + (randomBytes(4).readUInt32BE() % 1_000_000_000);
    const token = `${id}:${randomBytes(26).toString("base64url").slice(0, 35)}`;
    writeFileSync(file, JSON.stringify({ username: "agent_factory_bot", token }), { mode: 0o600 });
  }
  const bot = JSON.parse(readFileSync(file, "utf8")) as { username: string; token: string };
  const answer = await request(`${telegramUrl}/control/bots`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(bot),
  });
  const text = await answer.body.text();
  // 409: registered in an earlier run of the same environment.
  if (answer.statusCode >= 300 && answer.statusCode !== 409) {
    throw new Error(`The embedded Telegram refused the bot: ${answer.statusCode} ${text}`);
  }
  return bot;
}

export interface EnvironmentOptions {
  /** Folder of everything that this environment keeps. */
  stateDir: string;
  stack?: string;
  configFile?: string;
  overrides?: Record<string, unknown>;
  env?: NodeJS.ProcessEnv;
  progress?: (name: ServiceName, address: string) => void;
}

/** Starts the services and prepares the stack; `pulumi up` is the caller's next step. */
export async function startEnvironment(options: EnvironmentOptions): Promise<LocalEnvironment> {
  const { stateDir } = options;
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const cloud = await startCloud(projectRoot, stateDir, options.progress ?? (() => undefined));
  try {
    const bot = await ensureBot(stateDir, cloud.telegram.url);
    const model = chooseModel(options.env ?? process.env, cloud.model.url);
    const stack = new LocalStack({
      root: projectRoot,
      stateDir,
      stack: options.stack ?? "local",
      cloud,
      botToken: bot.token,
      model,
      ...(options.configFile ? { configFile: options.configFile } : {}),
      ...(options.overrides ? { overrides: options.overrides } : {}),
    });
    await stack.prepare();
    return { stateDir, cloud, stack, bot, model: { name: model.name, real: model.real } };
  } catch (error) {
    await cloud.stop();
    throw error;
  }
}

/** Lets `npm run chat` and the operator CLI find the running environment. */
export function announceEnvironment(environment: LocalEnvironment, outputs: Record<string, unknown>): string {
  const file = join(projectRoot, ".local", "environment.json");
  mkdirSync(dirname(file), { recursive: true });
  const { cloud, bot } = environment;
  writeFileSync(
    file,
    `${JSON.stringify(
      {
        stateDir: environment.stateDir,
        convex: {
          url: cloud.convex.url,
          siteUrl: cloud.convex.siteUrl,
          adminKeyFile: cloud.convex.adminKeyFile,
        },
        fly: { url: cloud.fly.url, orgTokenFile: cloud.fly.orgTokenFile },
        telegram: { url: cloud.telegram.url, botUsername: bot.username },
        model: { url: cloud.model.url },
        outputs,
        pid: process.pid,
      },
      null,
      2,
    )}\n`,
    { mode: 0o600 },
  );
  return file;
}

export function forgetEnvironment(): void {
  rmSync(join(projectRoot, ".local", "environment.json"), { force: true });
}
