import type { Store } from "../service/store.ts";

export const SCHEMA = `
CREATE TABLE IF NOT EXISTS requests (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, summary TEXT NOT NULL, messages TEXT NOT NULL,
  outcome TEXT NOT NULL, ms INTEGER);
CREATE TABLE IF NOT EXISTS scripts (
  id INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, script TEXT NOT NULL, remaining INTEGER, last_text TEXT);
`;

/** What the model was asked, without the texts of all messages. */
export interface RequestSummary {
  model: string;
  stream: boolean;
  messageCount: number;
  /** How many of the messages a person wrote. */
  userTurns: number;
  lastUserText: string;
  systemChars: number;
  /** Names of the tools that were offered. */
  tools: string[];
  /** First 12 hex digits of the API key's SHA-256: enough to tell keys apart, not to use one. */
  keyFingerprint: string;
}

export interface JournalEntry extends RequestSummary {
  seq: number;
  /** Milliseconds since 1970. */
  at: number;
  /** `open` while it runs; `aborted` when the caller left; else what was answered: text, toolCall, fail … */
  outcome: string;
  /** Until the last byte was sent; null while it runs. */
  ms: number | null;
}

/** The newest requests, kept so that a test can prove what the model saw. */
export interface Journal {
  open(at: number, summary: RequestSummary, messages: unknown): number;
  close(seq: number, outcome: string, ms: number): void;
  /** Oldest first; with `contains`, only requests of whose messages one holds this text. */
  list(query: { after: number; limit: number; contains?: string }): JournalEntry[];
  /** All messages of one request. */
  messages(seq: number): unknown;
}

interface RequestRow {
  seq: number;
  at: number;
  summary: string;
  outcome: string;
  ms: number | null;
}

const KEPT_REQUESTS = 1_000;

export function createJournal(store: Store): Journal {
  return {
    open(at, summary, messages) {
      const row = store.get<{ seq: number }>(
        "INSERT INTO requests (at, summary, messages, outcome) VALUES (?, ?, ?, 'open') RETURNING seq",
        at,
        JSON.stringify(summary),
        JSON.stringify(messages),
      );
      if (!row) throw new Error("the request was not recorded");
      store.run("DELETE FROM requests WHERE seq <= ?", row.seq - KEPT_REQUESTS);
      return row.seq;
    },
    close(seq, outcome, ms) {
      store.run("UPDATE requests SET outcome = ?, ms = ? WHERE seq = ?", outcome, Math.round(ms), seq);
    },
    list({ after, limit, contains }) {
      const needle = contains === undefined ? null : JSON.stringify(contains).slice(1, -1);
      return store
        .all<RequestRow>(
          `SELECT seq, at, summary, outcome, ms FROM (SELECT * FROM requests
             WHERE seq > ? AND (? IS NULL OR instr(messages, ?) > 0) ORDER BY seq DESC LIMIT ?) ORDER BY seq`,
          after,
          needle,
          needle,
          limit,
        )
        .map(({ summary, ...row }) => ({ ...row, ...(JSON.parse(summary) as RequestSummary) }));
    },
    messages(seq) {
      const row = store.get<{ messages: string }>("SELECT messages FROM requests WHERE seq = ?", seq);
      return row && (JSON.parse(row.messages) as unknown);
    },
  };
}
