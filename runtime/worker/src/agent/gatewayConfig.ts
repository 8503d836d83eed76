/**
 * OpenClaw's config, rendered once per gateway start. Secrets are only referred to by `${VARIABLE}`: the file on
 * disk holds none.
 */
import type { ModelPlan } from "./models.ts";

/** The agent that serves every conversation with the safe set of tools. */
export const SAFE_AGENT = "main";
/** The agent of conversations whose profile allows more; the plugin narrows it to exactly what is allowed. */
export const EXTENDED_AGENT = "extended";
/** Id of our plugin, and prefix of its tools. */
export const PLUGIN_ID = "bridge";

/** What every agent may do: work on the files of its own conversation's folder. */
export const safeTools = ["read", "write", "edit"] as const;
/** What a profile's `toolPolicy.allow` may add. Anything else is refused, whatever the profile says. */
export const grantableTools = ["exec", "process", "web_fetch", "web_search", "image", "pdf"] as const;

/** Never, for anybody: tools that see other conversations, the gateway or other machines. */
// apply_patch comes along with write wherever it is not denied.
const deniedTools = [
  "apply_patch",
  "gateway",
  "openclaw",
  "group:sessions",
  "sessions_list",
  "sessions_history",
  "sessions_send",
  "sessions_spawn",
  "session_status",
  "subagents",
  "agents_list",
  "memory_search",
  "memory_get",
  "message",
  "cron",
  "nodes",
  "canvas",
  "browser",
];

export interface GatewayConfigInput {
  port: number;
  models: ModelPlan;
  /** Absolute path of the plugin's folder. */
  pluginDir: string;
  /** Workspaces of the agents: neutral and empty, since every conversation sees all that lies in them. */
  workspaceDir: string;
  extendedWorkspaceDir: string;
  /** Longest turn, s. The worker's own deadline is shorter; this one catches a worker that forgot. */
  turnTimeoutSeconds: number;
  logFile: string;
}

/** Renders the whole of `openclaw.json`. */
export function renderGatewayConfig(input: GatewayConfigInput): Record<string, unknown> {
  const { models } = input;
  return {
    gateway: {
      mode: "local",
      bind: "loopback",
      port: input.port,
      auth: { mode: "token", token: "${OPENCLAW_GATEWAY_TOKEN}" },
      controlUi: { enabled: false },
    },
    logging: { level: "warn", file: input.logFile, consoleLevel: "warn" },
    update: { checkOnStart: false },
    telemetry: { enabled: false },
    discovery: { mdns: { mode: "off" } },
    // Nothing grows old here: a session ends with its conversation's residence, the state with the gateway. The search
    // for what might would start a thread after every turn, and another for each write that comes in between.
    session: { maintenance: { mode: "warn" } },
    cron: { enabled: false },
    browser: { enabled: false },
    plugins: {
      allow: [PLUGIN_ID],
      slots: { memory: "none" },
      load: { paths: [input.pluginDir] },
      entries: {
        [PLUGIN_ID]: { enabled: true, hooks: { allowConversationAccess: true }, config: {} },
      },
    },
    models: {
      mode: "replace",
      catalogRefresh: { enabled: false },
      providers: Object.fromEntries(
        models.providers.map((provider) => [
          provider.id,
          {
            baseUrl: provider.baseUrl,
            apiKey: `\${${provider.keyVariable}}`,
            api: provider.api,
            models: provider.models.map((id) => ({
              id,
              name: id,
              input: provider.sees ? ["text", "image"] : ["text"],
              contextWindow: models.contextWindow,
              maxTokens: models.maxOutputTokens,
            })),
          },
        ]),
      ),
    },
    skills: {
      allowBundled: ["__none__"],
      load: { watch: false },
      workshop: { autonomous: { mode: "off" } },
    },
    tools: {
      profile: "minimal",
      alsoAllow: [...safeTools, PLUGIN_ID],
      deny: deniedTools,
      toolSearch: false,
      fs: { workspaceOnly: true },
    },
    agents: {
      ownership: "explicit",
      defaults: {
        skipBootstrap: true,
        heartbeat: { every: "0m" },
        timeoutSeconds: input.turnTimeoutSeconds,
        systemAgent: { agentId: SAFE_AGENT },
        // A conversation's folder is its agent's to write in, and settings of the engine are none of its business.
        embeddedAgent: { projectSettingsPolicy: "ignore" },
        // A conversation's skills are files of its own folder, put there by the worker.
        skills: [],
        model: { primary: models.primary, fallbacks: models.fallbacks },
      },
      entries: {
        [SAFE_AGENT]: {
          workspace: input.workspaceDir,
          tools: { deny: [...deniedTools, ...grantableTools, "group:web"] },
        },
        [EXTENDED_AGENT]: {
          workspace: input.extendedWorkspaceDir,
          tools: { alsoAllow: [...safeTools, PLUGIN_ID, ...grantableTools], deny: deniedTools },
        },
      },
    },
  };
}

/** Tries of a model that fails for a moment before the next one is asked: each of them keeps a person waiting. */
const RETRIES_BEFORE_FALLBACK = 1;

/**
 * Renders an agent's `settings.json`. By itself the engine tries a failing model for more than a minute, which is right
 * where there is no other.
 */
export function renderAgentSettings(models: ModelPlan): Record<string, unknown> {
  return models.fallbacks.length === 0
    ? {}
    : { retry: { provider: { maxRetries: RETRIES_BEFORE_FALLBACK } } };
}
