import { type Conversation, describeConversation } from "./conversation.ts";
import type { Directives, ToolCall } from "./directives.ts";

/** What the server does with one request, decided before anything is sent. */
export interface Plan {
  delayMs: number;
  outcome: Outcome;
}

export type Outcome =
  | { kind: "text"; text: string }
  | { kind: "toolCall"; call: ToolCall }
  | { kind: "fail"; status: number }
  /** Cuts the connection after half of the text. */
  | { kind: "dieAfterHalf"; text: string }
  | { kind: "garbage" };

const MARKDOWN = `# Report

**Bold**, *italic*, ~~struck~~, \`code\` and a [link](https://example.com/a_b?c=d&e=f).

- one
- two
  - nested

1. first
2. second

> A quote with <angle> & ampersand.

| a | b |
|---|---|
| 1 | 2 |

\`\`\`ts
const x: number = 1 < 2 ? 3 : 4;
\`\`\`
`;

const LONG_WORDS = "All work and no play makes a long answer. ";

/** Tools first, one per request, as many as were asked for; then the ending, which may quote their results. */
export function planAnswer(directives: Directives, conversation: Conversation): Plan {
  const { delayMs, tools } = directives;
  const done = conversation.toolResults.length;
  const call = tools[done];
  if (call) return { delayMs: done === 0 ? delayMs : 0, outcome: { kind: "toolCall", call } };
  return { delayMs: tools.length === 0 ? delayMs : 0, outcome: planEnding(directives, conversation) };
}

function planEnding(directives: Directives, conversation: Conversation): Outcome {
  const { ending } = directives;
  switch (ending.kind) {
    case "default":
      return {
        kind: "text",
        text: describeResults(directives, conversation) ?? describeConversation(conversation),
      };
    case "say":
      return { kind: "text", text: ending.text };
    case "long":
      return {
        kind: "text",
        text: LONG_WORDS.repeat(Math.ceil(ending.chars / LONG_WORDS.length)).slice(0, ending.chars),
      };
    case "markdown":
      return { kind: "text", text: MARKDOWN };
    case "echoSystem": {
      const found = conversation.system.includes(ending.needle);
      return {
        kind: "text",
        text: `The system prompt ${found ? "contains" : "does not contain"} "${ending.needle}".`,
      };
    }
    case "fail":
      return { kind: "fail", status: ending.status };
    case "streamThenDie":
      return { kind: "dieAfterHalf", text: describeConversation(conversation) };
    case "garbage":
      return { kind: "garbage" };
  }
}

function describeResults(directives: Directives, conversation: Conversation): string | undefined {
  if (directives.tools.length === 0) return undefined;
  return directives.tools
    .map((tool, index) => `Tool ${tool.name} answered: ${conversation.toolResults[index] ?? "nothing"}`)
    .join("\n");
}
