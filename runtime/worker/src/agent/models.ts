/**
 * Which model answers, and with whose key: from the machine's environment alone, never from a profile.
 *
 * OpenClaw reacts to well-known provider ids (it tries to install a plugin for `moonshot` at boot, which costs
 * half a minute where its registry is out of reach), so every provider gets a neutral id in the rendered config.
 */

interface ProviderFacts {
  baseUrl: string;
  api: "openai-completions" | "anthropic-messages" | "google-generative-ai";
  keyEnv: string;
  /** Its current models accept pictures. */
  sees?: true;
}

/** Providers that need only their key. Any other name works with OPENCLAW_MODEL_BASE_URL. */
const knownProviders: Readonly<Record<string, ProviderFacts>> = {
  openai: {
    baseUrl: "https://api.openai.com/v1",
    api: "openai-completions",
    keyEnv: "OPENAI_API_KEY",
    sees: true,
  },
  moonshot: { baseUrl: "https://api.moonshot.ai/v1", api: "openai-completions", keyEnv: "MOONSHOT_API_KEY" },
  anthropic: {
    baseUrl: "https://api.anthropic.com",
    api: "anthropic-messages",
    keyEnv: "ANTHROPIC_API_KEY",
    sees: true,
  },
  google: {
    baseUrl: "https://generativelanguage.googleapis.com/v1beta",
    api: "google-generative-ai",
    keyEnv: "GEMINI_API_KEY",
    sees: true,
  },
  openrouter: {
    baseUrl: "https://openrouter.ai/api/v1",
    api: "openai-completions",
    keyEnv: "OPENROUTER_API_KEY",
  },
  deepseek: { baseUrl: "https://api.deepseek.com/v1", api: "openai-completions", keyEnv: "DEEPSEEK_API_KEY" },
  groq: { baseUrl: "https://api.groq.com/openai/v1", api: "openai-completions", keyEnv: "GROQ_API_KEY" },
  mistral: { baseUrl: "https://api.mistral.ai/v1", api: "openai-completions", keyEnv: "MISTRAL_API_KEY" },
  xai: { baseUrl: "https://api.x.ai/v1", api: "openai-completions", keyEnv: "XAI_API_KEY" },
};

/** Fallbacks beyond this help nobody: each one is tried in turn while the person waits. */
const FALLBACKS_MAX = 5;
const CONTEXT_WINDOW_DEFAULT = 128_000;
const OUTPUT_TOKENS_DEFAULT = 8_192;

export interface ModelProvider {
  /** Neutral id used in OpenClaw's config: `llm`, `llm2`, … */
  id: string;
  baseUrl: string;
  api: ProviderFacts["api"];
  /** Variable of the gateway's environment that holds the key; the config file only refers to it. */
  keyVariable: string;
  key: string;
  models: string[];
  /** Its models accept pictures. */
  sees: boolean;
}

export interface ModelPlan {
  /** `<neutral provider id>/<model>`. */
  primary: string;
  fallbacks: string[];
  providers: ModelProvider[];
  /** Tokens. */
  contextWindow: number;
  /** Tokens. */
  maxOutputTokens: number;
  /** The primary model accepts pictures. */
  sees: boolean;
}

export type ModelPlanResult = { ok: true; plan: ModelPlan } | { ok: false; problems: string[] };
type Env = Readonly<Record<string, string | undefined>>;

/**
 * Plans providers and models from OPENCLAW_AGENT_MODEL (`<provider>/<model>`), the comma-separated
 * OPENCLAW_AGENT_MODEL_FALLBACKS, OPENCLAW_MODEL_BASE_URL (of the primary's provider) and the providers' keys.
 * OPENCLAW_MODEL_VISION (`true` or `false`) says whether the primary's provider accepts pictures, where its name
 * does not tell.
 */
export function planModels(env: Env): ModelPlanResult {
  const problems: string[] = [];
  const primary = env["OPENCLAW_AGENT_MODEL"]?.trim();
  if (!primary) return { ok: false, problems: ["OPENCLAW_AGENT_MODEL is missing"] };
  const fallbacks = (env["OPENCLAW_AGENT_MODEL_FALLBACKS"] ?? "").split(",").map((ref) => ref.trim());
  const wanted = fallbacks.filter((ref) => ref !== "" && ref !== primary);
  if (wanted.length > FALLBACKS_MAX) {
    problems.push(`OPENCLAW_AGENT_MODEL_FALLBACKS names more than ${FALLBACKS_MAX} models`);
  }

  const providers = new Map<string, ModelProvider>();
  const neutralRef = (ref: string, variable: string): string | null => {
    const slash = ref.indexOf("/");
    const provider = ref.slice(0, slash);
    const model = ref.slice(slash + 1);
    if (slash < 1 || model === "") {
      problems.push(`${variable} must be <provider>/<model>, for example openai/gpt-5`);
      return null;
    }
    const known =
      providers.get(provider) ?? resolveProvider(provider, primary, env, providers.size, problems);
    if (known === null) return null;
    providers.set(provider, known);
    if (!known.models.includes(model)) known.models.push(model);
    return `${known.id}/${model}`;
  };

  const primaryRef = neutralRef(primary, "OPENCLAW_AGENT_MODEL");
  const fallbackRefs = wanted
    .slice(0, FALLBACKS_MAX)
    .map((ref) => neutralRef(ref, "OPENCLAW_AGENT_MODEL_FALLBACKS"));
  const contextWindow = tokens(env, "OPENCLAW_MODEL_CONTEXT_WINDOW", CONTEXT_WINDOW_DEFAULT, problems);
  const maxOutputTokens = tokens(env, "OPENCLAW_MODEL_MAX_TOKENS", OUTPUT_TOKENS_DEFAULT, problems);
  const vision = env["OPENCLAW_MODEL_VISION"];
  if (vision !== undefined && vision !== "true" && vision !== "false")
    problems.push("OPENCLAW_MODEL_VISION must be true or false");
  if (primaryRef === null || problems.length > 0) return { ok: false, problems: [...new Set(problems)] };
  return {
    ok: true,
    plan: {
      primary: primaryRef,
      fallbacks: fallbackRefs.filter((ref) => ref !== null),
      providers: [...providers.values()],
      contextWindow,
      maxOutputTokens,
      sees: [...providers.values()][0]?.sees ?? false,
    },
  };
}

function resolveProvider(
  name: string,
  primary: string,
  env: Env,
  index: number,
  problems: string[],
): ModelProvider | null {
  const facts = knownProviders[name];
  const isPrimary = primary.startsWith(`${name}/`);
  const override = isPrimary ? env["OPENCLAW_MODEL_BASE_URL"] : undefined;
  const baseUrl = override ?? facts?.baseUrl;
  if (baseUrl === undefined) {
    problems.push(
      `OPENCLAW_MODEL_BASE_URL is missing: provider '${name}' is not one of ${Object.keys(knownProviders).join(", ")}`,
    );
    return null;
  }
  if (!/^https?:\/\//.test(baseUrl)) {
    problems.push("OPENCLAW_MODEL_BASE_URL must start with http:// or https://");
    return null;
  }
  const keyEnv = facts?.keyEnv ?? `${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_")}_API_KEY`;
  const key = env[keyEnv]?.trim();
  if (!key) {
    problems.push(`${keyEnv} is missing: the models of '${name}' need it`);
    return null;
  }
  const suffix = index === 0 ? "" : String(index + 1);
  return {
    id: `llm${suffix}`,
    baseUrl: baseUrl.replace(/\/+$/, ""),
    api: facts?.api ?? "openai-completions",
    keyVariable: `MODEL_KEY${suffix}`,
    key,
    models: [],
    sees:
      isPrimary && env["OPENCLAW_MODEL_VISION"]
        ? env["OPENCLAW_MODEL_VISION"] === "true"
        : (facts?.sees ?? false),
  };
}

function tokens(env: Env, variable: string, fallback: number, problems: string[]): number {
  const value = env[variable];
  if (value === undefined) return fallback;
  const parsed = Number(value);
  if (Number.isInteger(parsed) && parsed >= 1_024 && parsed <= 10_000_000) return parsed;
  problems.push(`${variable} must be a whole number of tokens from 1024 to 10000000`);
  return fallback;
}
