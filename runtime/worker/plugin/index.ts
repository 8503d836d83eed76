/**
 * What runs inside the gateway: transcripts that can leave and arrive as JSON, the bridge functions of a profile
 * as tools, and the last word on which tools a session has. Everything that it knows of a session comes from the
 * worker over the gateway's admin socket and lives in memory only.
 */
import {
  appendSessionTranscriptMessagesByIdentity,
  readSessionTranscriptEvents,
} from "openclaw/plugin-sdk/session-transcript-runtime";
import type { HookContext, PluginApi } from "./api.ts";
import { bridgeTools } from "./bridgeTools.ts";
import { forgetSession, sessionState, setUpSession } from "./sessions.ts";
import { messagesOf, pageOf } from "./transcript.ts";

const adminOnly = { scope: "operator.admin" };

export default {
  id: "bridge",
  name: "Agent Factory bridge",
  register(api: PluginApi): void {
    endWithWorker();
    registerTranscripts(api);
    registerSessions(api);
    // A session that was never set up is offered nothing and may call nothing: both guards fail closed.
    api.on("before_prompt_build", (_event, { sessionKey }) => ({
      toolsAllow: sessionState(sessionKey)?.tools ?? [],
    }));
    api.on("before_tool_call", (event, context) => refuseForeignTool(event, context));
    // Commands see the gateway's environment; its own token is none of their business.
    api.on("resolve_exec_env", () => ({ OPENCLAW_GATEWAY_TOKEN: "" }));
  },
};

function refuseForeignTool(event: { toolName?: unknown }, { sessionKey }: HookContext): unknown {
  const allowed = sessionState(sessionKey)?.tools ?? [];
  // OpenClaw compares tool names without regard to case, and hands some out in lower case.
  const called = typeof event.toolName === "string" ? event.toolName.toLowerCase() : "";
  if (allowed.some((name) => name.toLowerCase() === called)) return undefined;
  return { block: true, blockReason: "This tool is not allowed in this conversation." };
}

function registerSessions(api: PluginApi): void {
  // The supervisor's question whether this socket still answers.
  api.registerGatewayMethod(
    "bridge.alive",
    ({ respond }) => {
      respond(true, {});
      return Promise.resolve();
    },
    adminOnly,
  );
  api.registerGatewayMethod(
    "bridge.session.setUp",
    ({ params, respond }) => {
      setUpSession(params);
      respond(true, {});
      return Promise.resolve();
    },
    adminOnly,
  );
  api.registerGatewayMethod(
    "bridge.session.forget",
    ({ params, respond }) => {
      if (typeof params["sessionKey"] === "string") forgetSession(params["sessionKey"]);
      respond(true, {});
      return Promise.resolve();
    },
    adminOnly,
  );
  api.registerTool(({ sessionKey }) => bridgeTools(sessionKey), {});
}

function registerTranscripts(api: PluginApi): void {
  api.registerGatewayMethod(
    "bridge.transcript.export",
    async ({ params, respond }) => {
      const events = await readSessionTranscriptEvents(sessionOf(params));
      respond(true, pageOf(messagesOf(events), number(params["after"]), number(params["bytesMax"])));
    },
    adminOnly,
  );
  api.registerGatewayMethod(
    "bridge.transcript.import",
    async ({ params, respond }) => {
      const messages = Array.isArray(params["messages"]) ? params["messages"] : [];
      if (messages.length > 0) {
        await appendSessionTranscriptMessagesByIdentity({
          ...sessionOf(params),
          messages: messages.map((message: unknown) => ({ message })),
          config: api.config,
        });
      }
      respond(true, { count: messages.length });
    },
    adminOnly,
  );
}

/** The worker holds the other end of stdin: when it is gone, however it ended, so is this gateway. */
function endWithWorker(): void {
  const marker = Symbol.for("agent-factory.endWithWorker");
  const global = globalThis as { [marker]?: true };
  if (global[marker]) return; // A reloaded plugin registers again in the same process.
  global[marker] = true;
  process.stdin.on("end", () => process.kill(process.pid, "SIGKILL"));
  process.stdin.resume();
}

function number(value: unknown): number {
  if (typeof value !== "number" || !Number.isFinite(value) || value < 0)
    throw new TypeError("after and bytesMax must be numbers from 0");
  return value;
}

function sessionOf(params: Record<string, unknown>): {
  agentId: string;
  sessionKey: string;
  sessionId: string;
} {
  const { agentId, sessionKey, sessionId } = params;
  if (typeof agentId !== "string" || typeof sessionKey !== "string" || typeof sessionId !== "string") {
    throw new TypeError("agentId, sessionKey and sessionId must be strings");
  }
  return { agentId, sessionKey, sessionId };
}
