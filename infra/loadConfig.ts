/** Reads the stack's config from Pulumi, with every problem at once. */
import * as pulumi from "@pulumi/pulumi";
import * as z from "zod";
import {
  agentKey,
  envName,
  parseStackConfig,
  type SecretKey,
  secretKeys,
  type StackConfig,
  type StackSecrets,
} from "./config.ts";
import { parseBridgeFunctions } from "./bridgeFunctions.ts";
import { problemsOf } from "./configProblems.ts";

/** A map of secrets, by key. */
interface SecretMap {
  example: string;
  schema: z.ZodType<Record<string, string>>;
}

const secretMaps: Record<SecretKey, SecretMap> = {
  telegramBotTokens: { example: "default", schema: z.record(agentKey, z.string().min(1)) },
  modelKeys: { example: "OPENAI_API_KEY", schema: z.record(envName, z.string().min(1)) },
};

/** Full names of the keys that are encrypted in the stack's file, as the language host says; undefined when it does not. */
function encryptedKeys(): readonly string[] | undefined {
  const text = process.env["PULUMI_CONFIG_SECRET_KEYS"];
  return text === undefined ? undefined : z.array(z.string()).parse(JSON.parse(text));
}

/** A map of secrets from the config; problems name keys and quote nothing. */
function readSecrets(source: pulumi.Config, name: SecretKey, problems: string[]): Record<string, string> {
  const { schema, example } = secretMaps[name];
  const fix = `set each with: pulumi config set --secret --path 'agent-factory:${name}.${example}'`;
  let value: unknown;
  try {
    value = source.getObject(name) ?? {};
  } catch {
    // Pulumi's own message would print a value that was not stored as a secret.
    problems.push(
      `${name}: is one text instead of a map; remove it (pulumi config rm 'agent-factory:${name}') and ${fix}`,
    );
    return {};
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    problems.push(
      ...problemsOf(schema, parsed.error, value).map((line) =>
        `${name}.${line} (${fix})`.replace(`${name}.config: `, `${name}: `),
      ),
    );
    return {};
  }
  if (Object.keys(parsed.data).length > 0 && encryptedKeys()?.includes(`${source.name}:${name}`) === false) {
    problems.push(
      `${name}: is stored in plain text; ${fix}. Whoever could read the file has the old ones: replace them.`,
    );
  }
  return parsed.data;
}

/** What is wrong with the files that profiles name, by key. */
function fileProblems(agents: unknown, read: ReadFile): string[] {
  return (Array.isArray(agents) ? agents : []).flatMap((agent: unknown, index) =>
    (["soulFile", "clientFile", "bridgeFunctionsFile"] as const).flatMap((key) => {
      const file = (agent as Record<string, unknown> | null)?.[key];
      if (typeof file !== "string" || file === "") return [];
      const text = read(file);
      if (text === null) return [`agents[${index}].${key}: there is no file ${file} in the project`];
      const parsed = key === "bridgeFunctionsFile" ? parseBridgeFunctions(text) : { ok: true as const };
      return parsed.ok
        ? []
        : parsed.problems.map((problem) => `agents[${index}].${key}: ${file}: ${problem}`);
    }),
  );
}

/** Text of one of the project's files, by its path from the project's root; null when there is none. */
export type ReadFile = (file: string) => string | null;

/**
 * Reads the stack's config.
 * @throws pulumi.RunError listing every problem, with the command that sets a key; Pulumi shows it without a stack.
 */
export function loadStackConfig(
  read: ReadFile,
  source = new pulumi.Config(),
): {
  config: StackConfig;
  secrets: StackSecrets;
  /** What lets an environment come up and not answer. */
  warnings: string[];
} {
  const values: Record<string, unknown> = {};
  const unreadable: string[] = [];
  for (const key of configuredKeys(source)) {
    try {
      values[key] = source.getObject<unknown>(key);
    } catch {
      // Pulumi's own message would print the value; the key is enough to find it.
      unreadable.push(key);
    }
  }
  const problems = unreadable.map(
    (key) => `${key}: is one text; expected a map of keys or a list (config set --path)`,
  );
  const result = parseStackConfig(values);
  if (!result.ok) {
    // What cannot be read is not missing besides.
    problems.push(...result.problems.filter((problem) => !unreadable.includes(problem.split(":")[0] ?? "")));
  }
  problems.push(...fileProblems(values["agents"], read));
  const tokens = readSecrets(source, "telegramBotTokens", problems);
  const keys = readSecrets(source, "modelKeys", problems);
  if (!result.ok || problems.length > 0) {
    throw new pulumi.RunError(
      [
        `The config of this stack has ${problems.length} problem(s):`,
        ...problems.map((problem) => `  - agent-factory:${problem}`),
        "Set a key with `pulumi config set --path 'agent-factory:<key>' <value>` (secrets with --secret), or edit the stack's Pulumi.<stack>.yaml. Every key is explained in infra/config.ts, every policy in runtime/convex/policy/runtimeConfig.ts.",
      ].join("\n"),
    );
  }
  return {
    config: result.config,
    secrets: {
      telegramBotTokens: pulumi.secret(tokens),
      telegramAgentKeys: Object.keys(tokens).sort(),
      modelKeys: pulumi.secret(keys),
    },
    warnings: warningsOf(result.config, keys, read),
  };
}

/** What is allowed and most likely not meant. */
function warningsOf(
  { model, agents, image, convex }: StackConfig,
  keys: Record<string, string>,
  read: ReadFile,
): string[] {
  const unreachable =
    Object.keys(keys).length > 0 || model.baseUrl !== undefined
      ? []
      : [
          `modelKeys is empty: no worker can reach ${model.name}. Set its key: pulumi config set --secret --path 'agent-factory:modelKeys.${keyNameOf(model.name)}'`,
        ];
  // An image that was built elsewhere may have skills of its own.
  const built = image.builder !== "prebuilt";
  const unknown = agents.flatMap(({ agentKey: agent, skills }) =>
    skills
      .filter((skill) => built && read(`runtime/worker/skills/${skill}/SKILL.md`) === null)
      .map(
        (skill) =>
          `Agent ${agent} names the skill '${skill}', which the image will not have: there is no runtime/worker/skills/${skill}/SKILL.md`,
      ),
  );
  return [...missingCredentials(convex.mode, process.env), ...unreachable, ...unknown];
}

/** Variable of the Convex credential, by mode. */
const CONVEX_CREDENTIALS: Readonly<Record<StackConfig["convex"]["mode"], string>> = {
  existing: "CONVEX_DEPLOY_KEY",
  provisioned: "CONVEX_TEAM_TOKEN",
  selfHosted: "CONVEX_SELF_HOSTED_ADMIN_KEY",
};

/** A preview does without; told there, all of them, so that an `up` does not fail half-way for one after the other. */
function missingCredentials(mode: StackConfig["convex"]["mode"], env: NodeJS.ProcessEnv): string[] {
  const missing = ["FLY_API_TOKEN", CONVEX_CREDENTIALS[mode]].filter((name) => !env[name]?.trim());
  return missing.length === 0
    ? []
    : [`${missing.join(" and ")} not set: \`pulumi up\` needs them (docs/deploy.md, tokens).`];
}

/** How most providers' keys are called: OPENAI_API_KEY. */
const keyNameOf = (model: string): string =>
  `${(model.split("/")[0] ?? "").toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_API_KEY`;

/** Keys of ours that the stack's config has, known or not, without the secrets. */
function configuredKeys(source: pulumi.Config): string[] {
  const prefix = `${source.name}:`;
  const secrets: readonly string[] = secretKeys;
  return Object.keys(pulumi.runtime.allConfig())
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length))
    .filter((key) => !secrets.includes(key));
}
