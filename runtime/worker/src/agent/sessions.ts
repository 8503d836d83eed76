/** Sessions of the gateway: one per arrival of a conversation, bound to its folder, with a transcript that travels. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { EXTENDED_AGENT, SAFE_AGENT } from "./gatewayConfig.ts";
import { GatewayRpcError, GatewayUnavailableError } from "./rpc.ts";
import type { GatewaySupervisor } from "./supervisor.ts";
import { batchesOf } from "./transcriptFiles.ts";

/** A conversation's session in one gateway. Lost with its gateway. */
export interface EngineSession {
  readonly key: string;
  readonly sessionId: string;
  readonly agentId: string;
  readonly generation: number;
}

export interface Sessions {
  open(key: string, folder: string, extended: boolean): Promise<EngineSession>;
  /** After a turn: a transcript without a message is not one. */
  exportTranscript(session: EngineSession): Promise<unknown[]>;
  importTranscript(session: EngineSession, messages: unknown[]): Promise<void>;
  /**
   * Removes the session from its gateway. One that cannot be removed costs nobody a turn: its key is never used again,
   * no tool reaches it, and it ends with its gateway at the latest.
   */
  close(session: EngineSession): Promise<void>;
}

/** The gateway closes a socket that sends more than 25 MiB at once, and buffers no more than twice that. */
const CALL_BYTES_MAX = 4 * 1024 * 1024;
/** Nobody waits for it, and the gateway puts it behind what people wait for. */
const CLOSE_TIMEOUT_MS = 120_000;
/** Pages of a transcript that one export reads: far beyond what a transcript may hold. */
const PAGES_MAX = 1_000;

const createdSchema = z.object({ sessionId: z.string().min(1) });
/** A page that promises more and holds nothing would be asked for without end. */
const pageSchema = z
  .object({ messages: z.array(z.looseObject({ role: z.string() })), more: z.boolean() })
  .refine(({ messages, more }) => messages.length > 0 || !more);

/** @param runDir folder of the running gateway. */
export function createSessions(supervisor: GatewaySupervisor, runDir: string): Sessions {
  return {
    open: async (key, folder, extended) => {
      const target = await supervisor.current();
      const generation = supervisor.generation();
      const agentId = extended ? EXTENDED_AGENT : SAFE_AGENT;
      const sessionKey = `agent:${agentId}:${key}`;
      const params = { key: sessionKey, agentId, cwd: folder };
      const { sessionId } = await supervisor.call(target, "sessions.create", params, createdSchema);
      return { key: sessionKey, sessionId, agentId, generation };
    },

    exportTranscript: async (session) => {
      const target = await supervisor.ofGeneration(session.generation);
      const messages: unknown[] = [];
      for (let page = 0; page < PAGES_MAX; page += 1) {
        const params = { ...identity(session), after: messages.length, bytesMax: CALL_BYTES_MAX };
        const { messages: found, more } = await supervisor.call(
          target,
          "bridge.transcript.export",
          params,
          pageSchema,
        );
        messages.push(...found);
        if (more) continue;
        // Saved, it would be all that the conversation is ever shown again.
        if (messages.length === 0)
          throw supervisor.judge(
            new GatewayUnavailableError("The transcript of a turn came back empty"),
            target,
          );
        return messages;
      }
      throw new GatewayRpcError("UNKNOWN", "The transcript has no end");
    },

    importTranscript: async (session, messages) => {
      const target = await supervisor.ofGeneration(session.generation);
      for (const batch of batchesOf(messages, CALL_BYTES_MAX)) {
        await supervisor.call(
          target,
          "bridge.transcript.import",
          { ...identity(session), messages: batch },
          z.object({ count: z.literal(batch.length) }),
        );
      }
    },

    close: async (session) => {
      if (!supervisor.isLive(session.generation)) return; // Gone with its gateway, and its state folder with it.
      const target = await supervisor.ofGeneration(session.generation);
      const options = { timeoutMs: CLOSE_TIMEOUT_MS };
      await target.rpc.request("bridge.session.forget", { sessionKey: session.key }, options);
      await target.rpc.request("sessions.delete", { key: session.key, deleteTranscript: true }, options);
      await removeArchives(runDir, session.agentId);
    },
  };
}

/** OpenClaw keeps an archive of a deleted session's transcript; here nothing of a conversation may stay. */
async function removeArchives(runDir: string, agentId: string): Promise<void> {
  const dir = join(runDir, "state/agents", agentId, "sessions");
  const names = await readdir(dir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  for (const name of names) if (name.includes(".deleted.")) await rm(join(dir, name), { force: true });
}

function identity(session: EngineSession): Record<string, string> {
  return { agentId: session.agentId, sessionKey: session.key, sessionId: session.sessionId };
}
