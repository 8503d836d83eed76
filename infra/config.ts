/**
 * The stack's config: every key, its unit and default. All problems are reported at once, each with the key
 * and the command that sets it. Platform credentials are not config: they come from the environment
 * (FLY_API_TOKEN, CONVEX_DEPLOY_KEY, …), so that rotating one rewrites no resource and none reaches the state.
 */
import type * as pulumi from "@pulumi/pulumi";
import * as z from "zod";
import { problemsOf } from "./configProblems.ts";
import { isLoopbackUrl } from "./platform/urls.ts";
import { policyProblems } from "./policyProblems.ts";

export const agentKey = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "expected letters, digits, _ or -");
export const envName = z
  .string()
  .regex(/^[A-Z][A-Z0-9_]{0,39}$/, "expected UPPER_CASE of at most 40 characters");
const baseUrl = z
  .string()
  .refine(
    (url) => URL.canParse(url) && (url.startsWith("https://") || isLoopbackUrl(url)),
    "expected a URL with https:// (http:// only on loopback)",
  );
const modelName = z
  .string()
  .regex(/^[a-z0-9-]+\/.+$/, "expected <provider>/<model>, for example openai/gpt-5-mini");
/** `pulumi config set --path` stores 9464 and true as what they look like; a process's environment is text. */
const envValue = z
  .union([z.string(), z.number(), z.boolean()], "expected text, a number, true or false")
  .transform(String);
const distinct = (values: readonly string[]): boolean => new Set(values).size === values.length;
const keyId = z.string().regex(/^[a-z0-9]{1,16}$/, "expected up to 16 lower-case letters and digits");
const keyIds = z.array(keyId).min(1).max(8).refine(distinct, "names an id twice");

const flySchema = z.strictObject({
  /** Slug of the Fly organization that owns the app. */
  organization: z.string().min(1),
  /** Codes of Fly's regions, tried in order when one has no capacity. */
  regions: z
    .array(z.string().regex(/^[a-z]{3}$/, "expected the three letters of a Fly region, for example fra"))
    .min(1),
  /**
   * Name of the app; by default `af-<stack>-<owner id>`. Set it to import an app made by hand. Another name moves the
   * environment: the new app is made, filled and rolled out to, the turns that run in the former one end there, then it
   * is deleted (docs/operations.md). Another organization alone is refused: a name cannot exist twice, so change both.
   */
  appName: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, "expected lower-case letters, digits and hyphens")
    .optional(),
  /** Take over an app of that name even though it carries no owner's mark yet. */
  adoptUnowned: z.boolean().default(false),
  /** Size of every machine. */
  guest: z
    .strictObject({
      /** `shared`: a share of a core, more for moments; `performance`: cores of its own. */
      cpuKind: z.enum(["shared", "performance"]).default("shared"),
      cpus: z.number().int().min(1).max(16).default(1),
      /** MB, a multiple of 256. OpenClaw needs about 1.4 GB after some turns; above 2048 machines cannot suspend. */
      memoryMb: z.number().int().min(256).multipleOf(256).default(2_048),
    })
    .prefault({}),
  /** GB of a volume per machine; null: none, since what a worker holds is in its snapshots. */
  volumeSizeGb: z.number().int().min(1).max(500).nullable().default(null),
  /** Life of the app-scoped token that the backend scales with, hours; rotated after two thirds of it. */
  tokenExpiryHours: z.number().int().min(1).max(8_760).default(2_160),
  /** Fly's endpoints; others only for emulators and proxies. */
  apiUrl: baseUrl.default("https://api.machines.dev"),
  graphqlUrl: baseUrl.default("https://api.fly.io/graphql"),
  registryUrl: baseUrl.default("https://registry.fly.io"),
});

const convexSchema = z.discriminatedUnion("mode", [
  /** A deployment that exists: needs CONVEX_DEPLOY_KEY in the environment. */
  z.strictObject({
    mode: z.literal("existing"),
    /** The deployment's `.convex.cloud` URL. */
    url: baseUrl,
    /** Where HTTP actions are served, when not at the deployment's `.convex.site` URL: a custom domain. */
    siteUrl: baseUrl.optional(),
  }),
  /** Project and deployment made by the stack: needs CONVEX_TEAM_TOKEN in the environment. */
  z.strictObject({
    mode: z.literal("provisioned"),
    /** Project in the token's team, made when it is not there. */
    projectName: z.string().min(1),
    /** Unique inside the project; by default the stack's name. */
    reference: z.string().min(1).optional(),
    /** Convex deletes `preview` deployments by itself after some days. */
    type: z.enum(["prod", "dev", "preview"]).default("prod"),
    /** Of a new deployment, for example aws-eu-west-1; by default Convex chooses. Another one is another deployment. */
    region: z.string().min(1).optional(),
    managementUrl: baseUrl.default("https://api.convex.dev/v1"),
    /** As in mode `existing`. */
    siteUrl: baseUrl.optional(),
  }),
  /** A self-hosted backend, where functions and HTTP actions have a URL each: needs CONVEX_SELF_HOSTED_ADMIN_KEY. */
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
    /** As buildx names it; Fly's machines are amd64. */
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
  name: modelName,
  /** OpenAI-compatible endpoint, when it is not the provider's own. */
  baseUrl: baseUrl.optional(),
  /** Tried in order when the model fails; each needs its provider's key in `modelKeys`. */
  fallbacks: z.array(modelName).default([]),
});

/** What a profile may be granted; the worker has the last word (`runtime/worker/src/agent/toolPolicy.ts`). */
export const GRANTABLE_TOOLS = ["exec", "process", "web_fetch", "web_search", "image", "pdf"] as const;

const agentSchema = z.strictObject({
  /** Its name everywhere: in pairings, bots, the API. `default` answers whoever is bound to nobody. */
  agentKey,
  /** The operator's own label of this profile. */
  version: envValue.pipe(z.string().min(1)).default("1"),
  /** Markdown, relative to the project's root: who the agent is. */
  soulFile: z.string().min(1),
  /** Markdown, likewise: whom it works for. */
  clientFile: z.string().min(1).optional(),
  /** Names of folders in `runtime/worker/skills`; the others of the image are not for this agent. Default: none. */
  skills: z.array(z.string().min(1)).default([]),
  /** false: kept, and refuses new messages. */
  enabled: z.boolean().default(true),
  /** Tools beyond the safe set. Commands (`exec`, `process`) are had only with `turn.dedication: conversation`. */
  allowTools: z.array(z.enum(GRANTABLE_TOOLS)).default([]),
  /** Where a consumer app serves functions that are this agent's tools. */
  bridge: z
    .strictObject({
      enabled: z.boolean(),
      baseUrl: baseUrl.optional(),
      serviceId: z.string().min(1).optional(),
      appKey: z.string().min(1).optional(),
      /** Secrets of the backend's store that hold the key, and the base URLs by app. */
      serviceKeySecretRef: z.string().min(1).optional(),
      appBaseUrlMapJsonSecretRef: z.string().min(1).optional(),
    })
    .optional(),
  /** JSON, relative to the project's root: these functions, `[{key, description, parameters}]`. */
  bridgeFunctionsFile: z.string().min(1).optional(),
});

const telegramSchema = z
  .strictObject({
    apiUrl: baseUrl.default("https://api.telegram.org"),
    /** Route a message to the agent that its sender is bound to; default true. */
    resolveAgentKeyFromBinding: z.boolean().optional(),
    /** Agent of senders without a binding; default `default`. */
    fallbackAgentKey: agentKey.optional(),
    /** Refuse senders without a binding, who are told once; default false. */
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
    secretKeyIds: keyIds.default(["k1"]),
    /** Webhook secrets; the last is current, the one before it is still accepted. */
    webhookSecretIds: keyIds.default(["w1"]),
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

/** Variables of the machines that have a key of their own, by that key. */
const OWN_KEYS: Readonly<Record<string, string>> = {
  OPENCLAW_AGENT_MODEL: "model.name",
  OPENCLAW_MODEL_BASE_URL: "model.baseUrl",
  OPENCLAW_AGENT_MODEL_FALLBACKS: "model.fallbacks",
};

/** What the shape of workerEnv cannot say. */
function workerEnvProblems(env: unknown): string[] {
  const names = typeof env === "object" && env !== null ? Object.keys(env) : [];
  return names.flatMap((name) => {
    const own = OWN_KEYS[name];
    if (own !== undefined) return [`workerEnv.${name}: is set by ${own}`];
    return name.endsWith("_API_KEY")
      ? [`workerEnv.${name}: is a secret, and workerEnv is plain text: set modelKeys.${name} with --secret`]
      : [];
  });
}

export const stackSchema = z.strictObject({
  fly: flySchema,
  convex: convexSchema,
  image: imageSchema,
  model: modelSchema,
  /** Agent profiles that the stack owns; others made through the backend are left alone. */
  agents: z
    .array(agentSchema)
    .min(1)
    .refine((agents) => distinct(agents.map((agent) => agent.agentKey)), "name an agentKey twice"),
  telegram: telegramSchema,
  policies: policiesSchema,
  rollout: rolloutSchema,
  keys: keysSchema,
  /** Plain environment of every machine; secrets belong in `modelKeys`. */
  workerEnv: z.record(envName, envValue).default({}),
  /** Refuse to destroy what holds data. */
  protect: z.boolean().default(false),
});

export type StackConfig = z.output<typeof stackSchema>;

/**
 * Maps of secrets, encrypted in the stack's file; `loadConfig.ts` reads them.
 *
 * `telegramBotTokens`: token by agent key. The bot of `default` is shared: it serves every person, with the agent that
 * they are bound to; any other serves its agent alone. Default: no bot.
 * `modelKeys`: value by environment variable, for example OPENAI_API_KEY. They become secrets of the Fly app, so that
 * every machine has them; a changed one is a rollout. Default: none.
 */
export const secretKeys = ["telegramBotTokens", "modelKeys"] as const;
export type SecretKey = (typeof secretKeys)[number];

/** Parses plain values (shape: the keys above). Returns all problems, each with its key. */
export function parseStackConfig(
  values: Record<string, unknown>,
): { ok: true; config: StackConfig } | { ok: false; problems: string[] } {
  const secrets: readonly string[] = secretKeys;
  const given = Object.fromEntries(
    Object.entries(values).filter(([key, value]) => value !== undefined && !secrets.includes(key)),
  );
  const parsed = stackSchema.safeParse(given);
  const problems = [
    ...(parsed.success ? [] : problemsOf(stackSchema, parsed.error, given, secretKeys)),
    ...workerEnvProblems(given["workerEnv"]),
    ...policyProblems(given),
  ];
  if (!parsed.success || problems.length > 0) return { ok: false, problems: [...new Set(problems)] };
  return { ok: true, config: parsed.data };
}

/** Bot tokens by agent key and model keys by environment variable, as secret outputs. */
export interface StackSecrets {
  telegramBotTokens: pulumi.Output<Record<string, string>>;
  telegramAgentKeys: string[];
  modelKeys: pulumi.Output<Record<string, string>>;
}
