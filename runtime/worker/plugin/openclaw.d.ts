declare module "openclaw/plugin-sdk/session-transcript-runtime" {
  interface SessionRef {
    agentId: string;
    sessionKey: string;
    sessionId: string;
  }
  export function readSessionTranscriptEvents(session: SessionRef): Promise<unknown[]>;
  export function appendSessionTranscriptMessagesByIdentity(
    input: SessionRef & { messages: Array<{ message: unknown }>; config: unknown },
  ): Promise<unknown>;
}
