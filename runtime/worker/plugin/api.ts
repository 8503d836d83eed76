/** OpenClaw's plugin API, as far as the plugin uses it (verified by running it; the package ships no types). */
export interface PluginApi {
  /** The gateway's current config, opaque to us. */
  config: unknown;
  pluginConfig: unknown;
  registerGatewayMethod(
    name: string,
    handler: (call: {
      params: Record<string, unknown>;
      respond: (ok: boolean, payload?: unknown, error?: unknown) => void;
    }) => Promise<void>,
    options: { scope: string },
  ): void;
  registerTool(factory: (context: ToolContext) => PluginTool[] | null, options: object): void;
  on(
    hook: "before_prompt_build" | "before_tool_call" | "resolve_exec_env",
    handler: (event: { toolName?: unknown }, context: HookContext) => unknown,
  ): void;
}

export interface ToolContext {
  agentId?: string;
  sessionKey?: string;
  sessionId?: string;
  workspaceDir?: string;
}

export interface HookContext {
  agentId?: string;
  sessionKey?: string;
}

export interface PluginTool {
  name: string;
  label: string;
  description: string;
  /** JSON Schema of the arguments. */
  parameters: unknown;
  execute(
    toolCallId: string,
    params: unknown,
    signal?: AbortSignal,
  ): Promise<{ content: Array<{ type: "text"; text: string }>; details: unknown }>;
}
