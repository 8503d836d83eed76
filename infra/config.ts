/**
 * The stack's config: every key, its unit and default. All problems are reported at once, each with the key
 * and the command that sets it. Platform credentials are not config: they come from the environment
 * (FLY_API_TOKEN, CONVEX_DEPLOY_KEY, …), so that rotating one rewrites no resource and none reaches the state.
 */
import * as pulumi from "@pulumi/pulumi";
import * as z from "zod";
import { isLoopbackUrl } from "./platform/urls.ts";

const agentKey = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected letters, digits, _ or -");
const envName = z.string().regex(/^[A-Z][A-Z0-9_]{0,39}$/, "expected UPPER_CASE of at most 40 characters");
const baseUrl = z
  .url()
  .refine(
    (url) => url.startsWith("https://") || isLoopbackUrl(url),
    "expected https:// (http:// only on loopback)",
  );

const flySchema = z.strictObject({
  /** Slug of the Fly organization that owns the app. */
  organization: z.string().min(1),
  /** Tried in order when a region has no capacity. */
  regions: z.array(z.string().min(3)).min(1),
  /**
   * Name of the app; by default `af-<stack>-<owner id>`. Set it to import an app made by hand. Another name moves the
   * environment: the new app is made, filled and rolled out to, the turns that run in the former one end there, then it
   * is deleted (docs/operations.md). Another organization alone is refused: a name cannot exist twice, so change both.
   */
  appName: z.string().min(1).optional(),
  /** Take over an app of that name even though it carries no owner's mark yet. */
  adoptUnowned: z.boolean().default(false),
  guest: z
    .strictObject({
      cpuKind: z.enum(["shared", "performance"]).default("shared"),
      cpus: z.number().int().min(1).max(16).default(1),
      memoryMb: z.number().int().min(256).multipleOf(256).default(2_048),
    })
    .prefault({}),
  volumeSizeGb: z.number().int().min(1).max(500).nullable().default(null),
  /** Life of the app-scoped token that the backend scales with, hours; rotated after two thirds of it. */
  tokenExpiryHours: z.number().int().min(1).max(8_760).default(2_160),
  apiUrl: baseUrl.default("https://api.machines.dev"),
  graphqlUrl: baseUrl.default("https://api.fly.io/graphql"),
  registryUrl: baseUrl.default("https://registry.fly.io"),
});

const convexSchema = z.discriminatedUnion("mode", [
  /** A deployment that exists: needs CONVEX_DEPLOY_KEY in the environment. */
  z.strictObject({
    mode: z.literal("existing"),
    url: baseUrl,
    /** Where HTTP actions are served, when not at the deployment's `.convex.site` URL: a custom domain. */
    siteUrl: baseUrl.optional(),
  }),
  /** Project and deployment made by the stack: needs CONVEX_TEAM_TOKEN in the environment. */
  z.strictObject({
    mode: z.literal("provisioned"),
    projectName: z.string().min(1),
    /** Unique inside the project; by default the stack's name. */
    reference: z.string().min(1).optional(),
    type: z.enum(["prod", "dev", "preview"]).default("prod"),
    region: z.string().min(1).optional(),
    managementUrl: baseUrl.default("https://api.convex.dev/v1"),
    /** As in mode `existing`. */
    siteUrl: baseUrl.optional(),
  }),
  /** A self-hosted backend: needs CONVEX_SELF_HOSTED_ADMIN_KEY in the environment. */
  z.strictObject({ mode: z.literal("selfHosted"), url: baseUrl, siteUrl: baseUrl }),
]);

/**
 * Images that the app's repository keeps besides those in use, newest first; older ones are deleted after a rollout
 * where the registry allows it. Keep enough for environments that run this one's digests before they copied them.
 */
const keepRecent = z.number().int().min(3).max(400).default(20);

const imageSchema = z.discriminatedUnion("builder", [
  /** Fly's remote builder through flyctl. */
  z.strictObject({ builder: z.literal("flyRemote"), keepRecent }),
  /** docker buildx on this machine. */
  z.strictObject({
    builder: z.literal("docker"),
    platform: z.string().default("linux/amd64"),
    /** Where layers are kept between builds, for example `type=gha` in a workflow; by default on this machine. */
    cache: z
      .string()
      .regex(/^type=\w+(,[\w.-]+=[^,\s]+)*$/, "expected type=<kind> and options, for example type=gha")
      .optional(),
    keepRecent,
  }),
  /** The same tree packed without a container engine; runs on the embedded cloud. */
  z.strictObject({ builder: z.literal("local"), keepRecent }),
  /** A digest built before, for example by CI or promoted from another environment. */
  z.strictObject({
    builder: z.literal("prebuilt"),
    image: z.string().regex(/@sha256:[0-9a-f]{64}$/, "expected <repository>@sha256:<64 hex>"),
  }),
]);

const modelSchema = z.strictObject({
  /** `<provider>/<model>`, for example openai/gpt-5-mini or moonshot/kimi-k2.5. */
  name: z.string().regex(/^[a-z0-9-]+\/.+$/, "expected <provider>/<model>"),
  /** OpenAI-compatible endpoint, when it is not the provider's own. */
  baseUrl: baseUrl.optional(),
  fallbacks: z.array(z.string().regex(/^[a-z0-9-]+\/.+$/)).default([]),
});

const agentSchema = z.strictObject({
  agentKey,
  /** The operator's own label of this profile. */
  version: z.string().min(1).default("1"),
  /** Files relative to the project's root. */
  soulFile: z.string().min(1),
  clientFile: z.string().min(1).optional(),
  skills: z.array(z.string().min(1)).default([]),
  enabled: z.boolean().default(true),
  bridge: z.record(z.string(), z.unknown()).optional(),
});

const telegramSchema = z
  .strictObject({
    apiUrl: baseUrl.default("https://api.telegram.org"),
    resolveAgentKeyFromBinding: z.boolean().optional(),
    fallbackAgentKey: agentKey.optional(),
    requireBindingForTelegram: z.boolean().optional(),
  })
  .prefault({});

/** Policies of spec B by group; the backend's schema checks the fields (policy/runtimeConfig.ts). */
const policiesSchema = z
  .strictObject({
    queue: z.record(z.string(), z.unknown()).optional(),
    retry: z.record(z.string(), z.unknown()).optional(),
    lease: z.record(z.string(), z.unknown()).optional(),
    scaling: z.record(z.string(), z.unknown()).optional(),
    drain: z.record(z.string(), z.unknown()).optional(),
    turn: z.record(z.string(), z.unknown()).optional(),
    hydration: z.record(z.string(), z.unknown()).optional(),
    rollout: z.record(z.string(), z.unknown()).optional(),
    spend: z.record(z.string(), z.unknown()).optional(),
    retention: z.record(z.string(), z.unknown()).optional(),
  })
  .prefault({});

/** Ids of stack-made keys. Add one at the end to rotate; drop the oldest once nothing uses it. */
const keysSchema = z
  .strictObject({
    /** Master keys of the secret store; the last encrypts, all decrypt. */
    secretKeyIds: z
      .array(z.string().regex(/^[a-z0-9]{1,16}$/))
      .min(1)
      .max(8)
      .default(["k1"]),
    /** Webhook secrets; the last is current, the one before it is still accepted. */
    webhookSecretIds: z
      .array(z.string().regex(/^[a-z0-9]{1,16}$/))
      .min(1)
      .max(8)
      .default(["w1"]),
  })
  .prefault({});

const rolloutSchema = z
  .strictObject({
    /** `pulumi up` waits for the rollout and fails with its reason when it is rolled back. */
    wait: z.boolean().default(true),
    /** Longest wait, seconds. */
    timeoutSeconds: z.number().int().min(10).max(7_200).default(900),
  })
  .prefault({});

const stackSchema = z.strictObject({
  fly: flySchema,
  convex: convexSchema,
  image: imageSchema,
  model: modelSchema,
  /** Agent profiles that the stack owns; others made through the backend are left alone. */
  agents: z.array(agentSchema).min(1),
  telegram: telegramSchema,
  policies: policiesSchema,
  rollout: rolloutSchema,
  keys: keysSchema,
  /** Plain environment of every machine. */
  workerEnv: z.record(envName, z.string()).default({}),
  /** Refuse to destroy what holds data. */
  protect: z.boolean().default(false),
});

export type StackConfig = z.output<typeof stackSchema>;

const objectKeys = [
  "fly",
  "convex",
  "image",
  "model",
  "agents",
  "telegram",
  "policies",
  "rollout",
  "keys",
  "workerEnv",
  "protect",
] as const;
const secretKeys = ["telegramBotTokens", "modelKeys"] as const;

const secretMapSchema = z.record(z.string(), z.string().min(1));

/** Parses plain values (shape: the keys above). Returns all problems, each with its key. */
export function parseStackConfig(
  values: Record<string, unknown>,
): { ok: true; config: StackConfig } | { ok: false; problems: string[] } {
  const known = new Set<string>([...objectKeys, ...secretKeys]);
  const unknown = Object.keys(values).filter((key) => !known.has(key));
  const parsed = stackSchema.safeParse(
    Object.fromEntries(
      objectKeys.filter((key) => values[key] !== undefined).map((key) => [key, values[key]]),
    ),
  );
  const problems = [
    ...unknown.map((key) => `${key}: unknown key; known are ${[...known].join(", ")}`),
    ...(parsed.success
      ? []
      : parsed.error.issues.map((issue) => `${issue.path.join(".") || "config"}: ${issue.message}`)),
  ];
  if (!parsed.success || problems.length > 0) return { ok: false, problems };
  return { ok: true, config: parsed.data };
}

/** Bot tokens by agent key and model keys by environment variable, as secret outputs. */
export interface StackSecrets {
  telegramBotTokens: pulumi.Output<Record<string, string>>;
  telegramAgentKeys: string[];
  modelKeys: pulumi.Output<Record<string, string>>;
}

/**
 * Reads the stack's config.
 * @throws Error listing every problem, with the command that sets a key.
 */
export function loadStackConfig(source = new pulumi.Config()): {
  config: StackConfig;
  secrets: StackSecrets;
} {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const key of objectKeys) {
    try {
      const value = source.getObject<unknown>(key);
      if (value !== undefined) values[key] = value;
    } catch {
      // Pulumi's own message would print the value; the key is enough to find it.
      problems.push(`${key}: not valid JSON or YAML`);
    }
  }
  const result = parseStackConfig(values);
  if (!result.ok) problems.push(...result.problems);
  const tokens = secretMapSchema.safeParse(source.getObject("telegramBotTokens") ?? {});
  if (!tokens.success) problems.push("telegramBotTokens: expected a map of agent key to bot token");
  const keys = z.record(envName, z.string().min(1)).safeParse(source.getObject("modelKeys") ?? {});
  if (!keys.success) problems.push("modelKeys: expected a map such as OPENAI_API_KEY to its value");
  if (!result.ok || !tokens.success || !keys.success || problems.length > 0) {
    throw new Error(
      [
        `The config of this stack has ${problems.length} problem(s):`,
        ...problems.map((problem) => `  - agent-factory:${problem}`),
        "Set a key with `pulumi config set --path 'agent-factory:<key>' <value>` (secrets with --secret), or edit the stack's Pulumi.<stack>.yaml.",
      ].join("\n"),
    );
  }
  return {
    config: result.config,
    secrets: {
      telegramBotTokens: pulumi.secret(tokens.data),
      telegramAgentKeys: Object.keys(tokens.data).sort(),
      modelKeys: pulumi.secret(keys.data),
    },
  };
}
