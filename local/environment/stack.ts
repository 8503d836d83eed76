/** Runs the real Pulumi engine on the stack of an embedded environment. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parse, stringify } from "yaml";
import { pulumi } from "../../setup/pulumi.mjs";
import { isRunning } from "./leftovers.ts";
import type { Cloud } from "./services.ts";

export interface StackOptions {
  root: string;
  /** Folder of this environment: state, passphrase and the filled-in config live here. */
  stateDir: string;
  stack: string;
  cloud: Cloud;
  /** Committed config to start from; `Pulumi.local.yaml` by default. */
  configFile?: string;
  /**
   * Keeps every choice of the committed config (mode of the backend, builder, model, policies) and gives it addresses
   * alone; without it the stack is fitted to the embedded cloud. The config's mode is then `provisioned`.
   */
  asCommitted?: { managementUrl: string };
  /** More environment for the engine: credentials, PATH. */
  env?: Record<string, string>;
  botToken: string;
  /** A real provider's keys, when the person has set one; else the model stub serves. */
  model: { name: string; baseUrl?: string; keys: Record<string, string> };
  /** Config by key and dotted path that overrides the committed file. */
  overrides?: Record<string, unknown>;
}

export interface PulumiRun {
  code: number;
  output: string;
}

interface StackFile {
  encryptionsalt?: string;
  config: Record<string, unknown>;
}

const PREFIX = "agent-factory:";

/** Sets what a dotted path names. */
function put(config: Record<string, unknown>, path: string, value: unknown): void {
  const parts = path.split(".").map((part, index) => (index === 0 ? PREFIX + part : part));
  const last = parts.pop() ?? path;
  let target = config;
  for (const part of parts) {
    target[part] ??= {};
    target = target[part] as Record<string, unknown>;
  }
  target[last] = value;
}

/** The committed config with the endpoints of the running services. */
function filledIn(options: StackOptions, previous: StackFile | null): StackFile {
  const committed = parse(
    readFileSync(join(options.root, options.configFile ?? "Pulumi.local.yaml"), "utf8"),
  ) as StackFile;
  const config = structuredClone(committed.config);
  const section = (key: string): Record<string, unknown> => {
    const value = (config[PREFIX + key] ?? {}) as Record<string, unknown>;
    config[PREFIX + key] = value;
    return value;
  };
  const { cloud } = options;
  Object.assign(section("fly"), {
    apiUrl: cloud.fly.url,
    graphqlUrl: cloud.fly.graphqlUrl,
    registryUrl: cloud.fly.registryUrl,
  });
  section("telegram")["apiUrl"] = cloud.telegram.url;
  const model = section("model");
  if (options.asCommitted) {
    const { managementUrl } = options.asCommitted;
    Object.assign(section("convex"), { managementUrl, siteUrl: cloud.convex.siteUrl });
  } else {
    section("fly")["organization"] = "personal";
    config[`${PREFIX}convex`] = { mode: "selfHosted", url: cloud.convex.url, siteUrl: cloud.convex.siteUrl };
    config[`${PREFIX}image`] = { builder: "local" };
    model["name"] = options.model.name;
  }
  if (options.model.baseUrl) model["baseUrl"] = options.model.baseUrl;
  else delete model["baseUrl"];
  for (const [path, value] of Object.entries(options.overrides ?? {})) put(config, path, value);
  for (const key of ["telegramBotTokens", "modelKeys"]) {
    const secret = previous?.config[PREFIX + key];
    if (secret !== undefined) config[PREFIX + key] = secret;
  }
  return { ...(previous?.encryptionsalt ? { encryptionsalt: previous.encryptionsalt } : {}), config };
}

/** One stack on the embedded cloud: `up`, `destroy` and the rest, by the real engine. */
export class LocalStack {
  readonly #options: StackOptions;
  readonly configFile: string;
  readonly name: string;
  /** Process id of the Pulumi command that runs now, for those who want to kill one. */
  running: number | null = null;

  constructor(options: StackOptions) {
    this.#options = options;
    this.configFile = join(options.stateDir, `Pulumi.${options.stack}.yaml`);
    this.name = options.stack;
  }

  /** Environment of the engine: where state is kept, and the platform credentials. */
  #environment(): { command: string; env: NodeJS.ProcessEnv } {
    const { stateDir, cloud } = this.#options;
    const backend = join(stateDir, "pulumi");
    mkdirSync(backend, { recursive: true });
    const passphraseFile = join(stateDir, "passphrase");
    if (!existsSync(passphraseFile)) {
      writeFileSync(passphraseFile, randomBytes(24).toString("hex"), { mode: 0o600 });
    }
    return pulumi({
      // Without the notes that the engine would keep beside each file: it writes them in place, and a kill at that
      // moment leaves an empty one, after which no command reads the stack any more (`checkpoint: EOF`).
      PULUMI_BACKEND_URL: `file://${backend}?metadata=skip`,
      PULUMI_CONFIG_PASSPHRASE_FILE: passphraseFile,
      FLY_API_TOKEN: readFileSync(cloud.fly.orgTokenFile, "utf8").trim(),
      ...(this.#options.asCommitted
        ? {}
        : { CONVEX_SELF_HOSTED_ADMIN_KEY: readFileSync(cloud.convex.adminKeyFile, "utf8").trim() }),
      ...this.#options.env,
    });
  }

  /**
   * Runs one Pulumi command to its end.
   * @param onLine each line of output as it comes.
   */
  async run(
    args: string[],
    onLine: (line: string) => void = () => undefined,
    stdin = "",
  ): Promise<PulumiRun> {
    const { command } = this.#environment();
    return this.tool(command, [...args, "--non-interactive"], { onLine, stdin });
  }

  /**
   * Runs any program to its end in the engine's environment: its state, its credentials, `pulumi` and Node on PATH.
   * Commands of `pulumi` itself go through `run`.
   */
  async tool(
    command: string,
    args: string[],
    options: {
      onLine?: (line: string) => void;
      stdin?: string;
      cwd?: string;
      env?: Record<string, string>;
    } = {},
  ): Promise<PulumiRun> {
    const { onLine = () => undefined, stdin = "", cwd = this.#options.root } = options;
    const { env } = this.#environment();
    const child = spawn(command, args, {
      cwd,
      env: { ...env, ...options.env, NO_COLOR: "1" },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.running = child.pid ?? null;
    child.stdin.end(stdin);
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        onLine(line);
      });
    }
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (status) => resolve(status ?? 1));
    });
    this.running = null;
    return { code, output: lines.join("\n") };
  }

  /**
   * Makes the stack when it is not there and returns its encryption salt. In a folder of its own, since the engine
   * writes the salt into the project's committed stack file otherwise.
   */
  async #create(): Promise<string | undefined> {
    const { stack, stateDir } = this.#options;
    const folder = join(stateDir, "stack");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "Pulumi.yaml"), stringify({ name: "agent-factory", runtime: "nodejs" }));
    const selected = await this.run(["stack", "select", stack, "--create", "--cwd", folder]);
    if (selected.code !== 0) throw new Error(`pulumi stack select failed:\n${selected.output}`);
    const file = join(folder, `Pulumi.${stack}.yaml`);
    return existsSync(file) ? (parse(readFileSync(file, "utf8")) as StackFile).encryptionsalt : undefined;
  }

  /**
   * Puts in order what an engine that was killed has left of this stack: its lock, and its notes of what it was making.
   * Everything that the stack makes is looked up first, so that nothing has to be decided about these. A lock whose
   * engine still runs is left alone.
   */
  async #recover(): Promise<void> {
    const locks = join(this.#options.stateDir, "pulumi", ".pulumi", "locks");
    const files = globSync(`**/${this.name}/*.json`, { cwd: locks });
    const holders = files.map(
      (file) => (JSON.parse(readFileSync(join(locks, file), "utf8")) as { pid: number }).pid,
    );
    if (holders.length === 0 || holders.some((pid) => isRunning(pid, "pulumi"))) return;
    for (const step of [await this.cancel(), await this.refresh(["--clear-pending-creates"])]) {
      if (step.code !== 0) throw new Error(`a stack that was cut off cannot be recovered:\n${step.output}`);
    }
  }

  /** Notes beside the state's files, which earlier releases wrote and the engine still reads. */
  #dropNotes(): void {
    // A pattern does not go into folders whose names begin with a dot.
    const cwd = join(this.#options.stateDir, "pulumi", ".pulumi");
    for (const file of globSync("**/*.attrs", { cwd })) rmSync(join(cwd, file), { force: true });
  }

  /**
   * Makes the stack when it is not there, writes its config with the current endpoints and recovers it from an engine
   * that was killed.
   */
  async prepare(): Promise<void> {
    const { stack, stateDir, botToken, model } = this.#options;
    mkdirSync(stateDir, { recursive: true });
    this.#dropNotes();
    const previous = existsSync(this.configFile)
      ? (parse(readFileSync(this.configFile, "utf8")) as StackFile)
      : null;
    const encryptionsalt = await this.#create();
    const kept = encryptionsalt === previous?.encryptionsalt ? previous : null;
    writeFileSync(
      this.configFile,
      stringify(
        filledIn(this.#options, kept ?? { ...(encryptionsalt ? { encryptionsalt } : {}), config: {} }),
      ),
    );
    const secrets: Array<[string, string]> = [
      ["telegramBotTokens.default", botToken],
      ...Object.entries(model.keys).map(([name, value]): [string, string] => [`modelKeys.${name}`, value]),
    ];
    const present = parse(readFileSync(this.configFile, "utf8")) as StackFile;
    for (const [path, value] of secrets) {
      const [section = "", key = ""] = path.split(".");
      const known = present.config[PREFIX + section] as Record<string, unknown> | undefined;
      if (known?.[key] !== undefined) continue;
      // The value goes by stdin: arguments can be read by other processes.
      const set = await this.run(
        [
          "config",
          "set",
          "--stack",
          stack,
          "--config-file",
          this.configFile,
          "--secret",
          "--path",
          PREFIX + path,
        ],
        undefined,
        value,
      );
      if (set.code !== 0) throw new Error(`pulumi config set ${path} failed:\n${set.output}`);
    }
    await this.#recover();
  }

  /** Changes what a dotted path of the stack's config names, in force with the next `up`. */
  configure(path: string, value: unknown): void {
    const file = parse(readFileSync(this.configFile, "utf8")) as StackFile;
    put(file.config, path, value);
    writeFileSync(this.configFile, stringify(file));
  }

  /** @param extra for example `--expect-no-changes`. */
  async up(onLine?: (line: string) => void, extra: string[] = []): Promise<PulumiRun> {
    return this.run(
      [
        "up",
        "--stack",
        this.#options.stack,
        "--config-file",
        this.configFile,
        "--yes",
        "--skip-preview",
        ...extra,
      ],
      onLine,
    );
  }

  async destroy(onLine?: (line: string) => void): Promise<PulumiRun> {
    return this.run(
      [
        "destroy",
        "--stack",
        this.#options.stack,
        "--config-file",
        this.configFile,
        "--yes",
        "--skip-preview",
      ],
      onLine,
    );
  }

  /** Compares the state with what is really there, and writes it down. @param extra for example `--preview-only`. */
  async refresh(extra: string[] = []): Promise<PulumiRun> {
    return this.run([
      "refresh",
      "--stack",
      this.#options.stack,
      "--config-file",
      this.configFile,
      "--yes",
      "--skip-preview",
      ...extra,
    ]);
  }

  /** @param extra for example `--refresh`. */
  async preview(extra: string[] = []): Promise<PulumiRun> {
    return this.run([
      "preview",
      "--stack",
      this.#options.stack,
      "--config-file",
      this.configFile,
      "--diff",
      ...extra,
    ]);
  }

  /** Takes away the lock of a run that was killed. Nothing else may run on this stack. */
  async cancel(): Promise<PulumiRun> {
    return this.run(["cancel", "--stack", this.#options.stack, "--yes"]);
  }

  async outputs(): Promise<Record<string, unknown>> {
    const result = await this.run(["stack", "output", "--json", "--stack", this.#options.stack]);
    if (result.code !== 0) throw new Error(`pulumi stack output failed:\n${result.output}`);
    return JSON.parse(result.output) as Record<string, unknown>;
  }
}
