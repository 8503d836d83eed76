/** One whole environment in a temporary folder, and what its tests ask of it: people, machines, the model's journal. */
import { execFileSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import * as z from "zod";
import { type Backend, backendAt } from "../../local/environment/backend.ts";
import {
  chooseModel,
  type LocalEnvironment,
  projectRoot,
  startEnvironment,
} from "../../local/environment/environment.ts";
import { endLeftovers } from "../../local/environment/leftovers.ts";
import type { RunningCloud } from "../../local/environment/services.ts";
import { LocalStack, type StackOptions } from "../../local/environment/stack.ts";
import { cutTree } from "../../setup/standins/processTree.ts";
import { type ChatEntry, type Person, Phone, type Place, type Sent } from "../../local/environment/person.ts";

/** A cold start boots a gateway; on crowded cores two at once have taken two minutes. */
const ANSWER_MS = 240_000;
const CALL_MS = 60_000;
const STEP_MS = 50;
/** The key that an environment without a real provider gives to its machines. */
const MODEL_KEY = chooseModel({}, "http://127.0.0.1").keys["OPENAI_API_KEY"] ?? "";

const machineSchema = z.object({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  process: z.object({ group: z.number(), main: z.number().nullable() }).nullable(),
});
type LocalMachine = z.infer<typeof machineSchema>;

export interface MessageTimes {
  seq: number;
  status: string;
  /** Attempts that were begun and neither released nor taken back. */
  attempts: number;
  workerId: string | null;
  claimedAt: number | null;
  answeredAt: number | null;
  machineCreatedAt: number | null;
  workerReadyAt: number | null;
}

export interface Reach {
  stack: string;
  /** Where the stack finds the planes: on another world's Fly, or through gates. */
  cloud?: (own: RunningCloud) => Promise<RunningCloud>;
  options?: (own: RunningCloud) => Partial<StackOptions>;
}

export class World {
  readonly environment: LocalEnvironment;
  readonly phone: Phone;
  readonly backend: Backend;
  /** Name of the stack's Fly app; known after `up`. */
  app = "";

  private constructor(environment: LocalEnvironment) {
    this.environment = environment;
    this.phone = new Phone(environment.cloud.telegram.url, environment.bot.username);
    this.backend = backendAt(environment.cloud.convex);
  }

  /**
   * Starts the services; `overrides` is config by dotted path. The stack is not up yet.
   * @param reach a stack of another name, config or way to the planes than `local` on this world's own services.
   */
  static async start(overrides: Record<string, unknown> = {}, reach?: Reach): Promise<World> {
    const stateDir = mkdtempSync(join(tmpdir(), "af-e2e-"));
    try {
      // No key of a real provider: these tests steer the model by directives.
      const options = { stateDir, overrides, env: {}, ...(reach ? { stack: reach.stack } : {}) };
      const own = await startEnvironment(options);
      if (!reach) return new World(own);
      return new World(await reaching(own, reach, overrides));
    } catch (error) {
      endLeftovers(stateDir);
      rmSync(stateDir, { recursive: true, force: true });
      throw error;
    }
  }

  async up(): Promise<Record<string, unknown>> {
    const run = await this.environment.stack.up();
    if (run.code !== 0) throw new Error(`pulumi up failed:\n${run.output}`);
    const outputs = await this.environment.stack.outputs();
    this.app = z.string().parse(outputs["flyAppName"]);
    return outputs;
  }

  /** Gives an agent a bot of its own, as an operator does before `pulumi up`. */
  async addBot(agentKey: string, username: string): Promise<{ id: string; phone: Phone }> {
    const { cloud, stack } = this.environment;
    const id = String(randomInt(2_000_000_000, 3_000_000_000));
    const token = `${id}:${randomBytes(26).toString("base64url").slice(0, 35)}`;
    await this.telegram("bots", { token, username });
    const path = `agent-factory:telegramBotTokens.${agentKey}`;
    const where = ["--stack", "local", "--config-file", stack.configFile];
    const set = await stack.run(["config", "set", ...where, "--secret", "--path", path], undefined, token);
    if (set.code !== 0) throw new Error(`pulumi config set ${path} failed:\n${set.output}`);
    return { id, phone: new Phone(cloud.telegram.url, username) };
  }

  get orgToken(): string {
    return readFileSync(this.environment.cloud.fly.orgTokenFile, "utf8").trim();
  }

  async fly(method: "GET" | "POST" | "DELETE", path: string, body?: unknown): Promise<unknown> {
    return json(method, `${this.environment.cloud.fly.url}${path}`, body, {
      authorization: `Bearer ${this.orgToken}`,
    });
  }

  /** Scoped tokens that an app has, as Fly lists them. */
  async tokensOf(app: string): Promise<Array<{ id: string; name: string }>> {
    const schema = z.object({
      app: z
        .object({
          limitedAccessTokens: z.object({ nodes: z.array(z.object({ id: z.string(), name: z.string() })) }),
        })
        .nullable(),
    });
    const data = await this.#graphql(
      "query Tokens($name: String!) { app(name: $name) { limitedAccessTokens { nodes { id name } } } }",
      { name: app },
    );
    return schema.parse(data).app?.limitedAccessTokens.nodes ?? [];
  }

  async revokeTokensOf(app: string): Promise<void> {
    for (const { id } of await this.tokensOf(app)) {
      await this.#graphql(
        "mutation Revoke($input: DeleteLimitedAccessTokenInput!) { deleteLimitedAccessToken(input: $input) { token } }",
        { input: { id } },
      );
    }
  }

  async #graphql(query: string, variables: unknown): Promise<unknown> {
    const answer = await json(
      "POST",
      this.environment.cloud.fly.graphqlUrl,
      { query, variables },
      { authorization: `Bearer ${this.orgToken}` },
    );
    return z.object({ data: z.unknown() }).parse(answer).data;
  }

  get #convexHeaders(): Record<string, string> {
    const { adminKeyFile } = this.environment.cloud.convex;
    return { authorization: `Convex ${readFileSync(adminKeyFile, "utf8").trim()}` };
  }

  async #variables(): Promise<Record<string, string>> {
    const url = `${this.environment.cloud.convex.url}/api/v1/list_environment_variables`;
    const answer = await json("GET", url, undefined, this.#convexHeaders);
    return z.object({ environmentVariables: z.record(z.string(), z.string()) }).parse(answer)
      .environmentVariables;
  }

  /** Names of the deployment's environment variables. */
  async variables(): Promise<string[]> {
    return Object.keys(await this.#variables()).sort();
  }

  /** The secrets that the stack has made for this environment: master key, worker token key, webhook secret. */
  async made(): Promise<Record<string, string>> {
    const variables = await this.#variables();
    const ring = z
      .object({ keys: z.record(z.string(), z.string()) })
      .parse(JSON.parse(variables["SECRETS_KEY_RING"] ?? ""));
    const webhook = z
      .object({ current: z.string() })
      .parse(JSON.parse(variables["TELEGRAM_WEBHOOK_SECRETS"] ?? ""));
    return {
      ...ring.keys,
      "worker token key": z.string().min(40).parse(variables["WORKER_TOKEN_KEY"]),
      "webhook secret": webhook.current,
    };
  }

  async setVariable(name: string, value: string | null): Promise<void> {
    const url = `${this.environment.cloud.convex.url}/api/v1/update_environment_variables`;
    await json("POST", url, { changes: [{ name, value }] }, this.#convexHeaders);
  }

  /** Sets the bot's webhook as anybody can who has its token. */
  async pointWebhookAt(url: string): Promise<void> {
    const { cloud, bot } = this.environment;
    await json("POST", `${cloud.telegram.url}/bot${bot.token}/setWebhook`, { url });
  }

  /** Ends the engine that runs now, its program, its providers and their tools, as a power cut does. */
  killEngine(): void {
    const { running } = this.environment.stack;
    if (running === null) throw new Error("no engine is running");
    cutTree(running);
  }

  async telegram(path: string, body: unknown): Promise<unknown> {
    return json("POST", `${this.environment.cloud.telegram.url}/control/${path}`, body);
  }

  /** Adds a fault for one chat of the embedded Telegram. */
  async telegramFault(chat: Person, rule: Record<string, unknown>): Promise<void> {
    await this.telegram("faults", { method: "sendMessage", chatId: chat.id, ...rule });
  }

  /** Waits for the answer to what was sent. @throws with the machines' logs when none comes. */
  async answerTo(
    place: Place,
    sent: Sent,
    { withinMs = ANSWER_MS, phone = this.phone }: { withinMs?: number; phone?: Phone } = {},
  ): Promise<ChatEntry> {
    const entry = await phone.answer(place, sent.after, withinMs);
    if (entry === null)
      throw new Error(`nobody answered in chat ${place.id} in ${withinMs} ms\n${await this.story()}`);
    return entry;
  }

  async ask(person: Person, text: string, phone = this.phone): Promise<string> {
    return (await this.answerTo(person, await phone.write(person, text), { phone })).body.text ?? "";
  }

  /** Texts that the bot has sent to the chat, oldest first. */
  async answers(place: Place, phone = this.phone): Promise<string[]> {
    const { entries } = await phone.transcript(place);
    return entries
      .filter((entry) => entry.kind === "message" && entry.direction === "out")
      .map((entry) => entry.body.text ?? "");
  }

  /** The conversation's answered messages, oldest first. */
  async times(person: Person): Promise<MessageTimes[]> {
    const rows = await this.backend.run<MessageTimes[]>("factory:messageTimeline", {
      conversationId: this.conversationId(person),
      limit: 50,
    });
    return rows.filter(({ answeredAt }) => answeredAt !== null);
  }

  conversationId(person: Person): string {
    const [botId = ""] = this.environment.bot.token.split(":");
    return `telegram:${botId}:${person.id}`;
  }

  async machines(app = this.app): Promise<LocalMachine[]> {
    return z.array(machineSchema).parse(await this.fly("GET", `/local/apps/${app}/machines`));
  }

  /** The one machine that runs a process. @throws when there is none, or more than one. */
  async runningMachine(): Promise<LocalMachine & { process: { group: number; main: number | null } }> {
    const running = (await this.machines()).filter((machine) => machine.process !== null);
    const [only] = running;
    if (!only?.process || running.length !== 1) {
      throw new Error(`expected one running machine: ${JSON.stringify(running)}`);
    }
    return { ...only, process: only.process };
  }

  /** Waits until the model works on a turn whose text contains `text`: the middle of that turn. */
  async modelWorksOn(text: string): Promise<void> {
    const url = `${this.environment.cloud.model.url}/control/requests?contains=${encodeURIComponent(text)}`;
    const schema = z.object({
      requests: z.array(z.object({ lastUserText: z.string(), outcome: z.string() })),
    });
    await this.until(`the model works on '${text}'`, async () => {
      const { requests } = schema.parse(await json("GET", url));
      return requests.some((call) => call.outcome === "open" && call.lastUserText.includes(text));
    });
  }

  /** @returns how long it took, ms. */
  async until(what: string, condition: () => Promise<boolean>, withinMs = ANSWER_MS): Promise<number> {
    const startedAt = Date.now();
    while (Date.now() - startedAt < withinMs) {
      if (await condition()) return Date.now() - startedAt;
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    }
    throw new Error(`not within ${withinMs} ms: ${what}\n${await this.story()}`);
  }

  /** Waits until nothing is queued or worked on. */
  async idle(): Promise<void> {
    await this.until("the queue is empty", async () => {
      const stats = await this.backend.run<Record<string, number>>("factory:queueStats");
      return (stats["processing"] ?? 0) + (stats["queuedReady"] ?? 0) + (stats["queuedDelayed"] ?? 0) === 0;
    });
  }

  /** Waits until nothing is on its way to Telegram. */
  async deliveriesDone(): Promise<void> {
    await this.until("nothing is left to send", async () => {
      const states = await Promise.all(
        ["pending", "sending"].map((state) =>
          this.backend.run<unknown[]>("factory:listDeliveries", { state }),
        ),
      );
      return states.flat().length === 0;
    });
  }

  /** The scaler's latest decisions and the machines' last lines, for the message of a failed test. */
  async story(): Promise<string> {
    const decisions = await this.backend.run<Array<{ text: string }>>("factory:scalerDecisions", {
      limit: 15,
    });
    const logs = await Promise.all(
      (await this.machines()).map(async ({ id, state }) => `${id} (${state})\n${await this.logs(id, 15)}`),
    );
    return [...decisions.map(({ text }) => text), ...logs].join("\n");
  }

  async logs(machine: string, tail: number): Promise<string> {
    const { url } = this.environment.cloud.fly;
    const answer = await fetch(`${url}/local/apps/${this.app}/machines/${machine}/logs?tail=${tail}`);
    return answer.text();
  }

  /** What the services have logged, by service. */
  serviceLogs(): Record<string, string> {
    const { stateDir, cloud } = this.environment;
    return Object.fromEntries(
      Object.keys(cloud.pids).map((name) => [
        `${name}.log`,
        readFileSync(join(stateDir, `${name}.log`), "utf8"),
      ]),
    );
  }

  /** Every document of the deployment, and its scheduled calls with their arguments. */
  documents(): string {
    return this.#deploymentRows("SELECT json AS text FROM documents").join("\n");
  }

  /** Files on the machines' disks that contain `text`, by path. */
  onMachineDisks(text: string): string[] {
    const folder = join(this.environment.stateDir, "fly", "machines");
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .filter((file) => readFileSync(file).includes(text));
  }

  /** The secrets of this environment by name: those given to it, and those that the stack made for the deployment. */
  secrets(): Record<string, string> {
    const { bot, cloud } = this.environment;
    const made = this.#deploymentRows("SELECT value AS text FROM env").flatMap(
      (value) => value.match(/[A-Za-z0-9+/_-]{40,}={0,2}/g) ?? [],
    );
    return {
      "bot token": bot.token,
      "model key": MODEL_KEY,
      "Fly token": this.orgToken,
      "admin key": readFileSync(cloud.convex.adminKeyFile, "utf8").trim(),
      ...Object.fromEntries(made.map((value, index) => [`generated secret ${index + 1}`, value])),
    };
  }

  #deploymentRows(sql: string): string[] {
    const file = join(this.environment.stateDir, "convex", "convex.sqlite");
    const db = new DatabaseSync(file, { readOnly: true });
    try {
      return db
        .prepare(sql)
        .all()
        .map((row) => String(row["text"]));
    } finally {
      db.close();
    }
  }

  /** Processes that run out of this environment's folder, besides the services. */
  machineProcesses(): string[] {
    const folder = join(this.environment.stateDir, "fly", "machines");
    return execFileSync("ps", ["-ww", "-A", "-o", "pid=,command="], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(folder));
  }

  /** Stops everything, whatever state it is in, and removes the folder. */
  async stop(): Promise<void> {
    await this.environment.cloud.stop();
    endLeftovers(this.environment.stateDir);
    rmSync(this.environment.stateDir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The same environment with another stack. */
async function reaching(
  environment: LocalEnvironment,
  reach: Reach,
  overrides: Record<string, unknown>,
): Promise<LocalEnvironment> {
  const { stateDir, bot } = environment;
  const cloud = reach.cloud ? await reach.cloud(environment.cloud) : environment.cloud;
  const { name, baseUrl, keys } = chooseModel({}, cloud.model.url);
  const stack = new LocalStack({
    root: projectRoot,
    stateDir,
    stack: reach.stack,
    cloud,
    botToken: bot.token,
    model: { name, keys, ...(baseUrl ? { baseUrl } : {}) },
    overrides,
    ...reach.options?.(environment.cloud),
  });
  await stack.prepare();
  return { ...environment, cloud, stack };
}

async function json(
  method: "GET" | "POST" | "DELETE",
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<unknown> {
  const answer = await fetch(url, {
    method,
    headers: { ...headers, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${text}`);
  return text === "" ? null : JSON.parse(text);
}
