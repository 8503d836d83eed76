/**
 * A small language in which a text tells the model how to behave. One directive per line:
 *
 *     say <text>                 answers exactly this
 *     tool <name> <json>         calls a tool, whether it was offered or not; several are called one after the other
 *     slow <ms>                  waits before it answers
 *     fail <status>              answers this HTTP status
 *     stream-then-die            sends half of the answer, then cuts the connection
 *     garbage                    answers something that is no completion
 *     long <chars>               answers a text of this length
 *     markdown                   answers a text with every kind of Markdown
 *     echo-system <substring>    says whether the system prompt contains it
 *
 * Lines that are none of these are not directives; a text without any gets the default answer.
 */
export interface Directives {
  delayMs: number;
  tools: readonly ToolCall[];
  ending: Ending;
}

export interface ToolCall {
  name: string;
  /** JSON, as it will be sent. */
  arguments: string;
}

export type Ending =
  | { kind: "default" }
  | { kind: "say"; text: string }
  | { kind: "long"; chars: number }
  | { kind: "markdown" }
  | { kind: "echoSystem"; needle: string }
  | { kind: "fail"; status: number }
  | { kind: "streamThenDie" }
  | { kind: "garbage" };

const DELAY_LIMIT_MS = 600_000;
const LONG_LIMIT_CHARS = 1_000_000;

export function parseDirectives(text: string): Directives {
  let delayMs = 0;
  let ending: Ending = { kind: "default" };
  const tools: ToolCall[] = [];
  for (const line of text.split("\n")) {
    const [, word = "", rest = ""] = /^\s*([a-z-]+)(?:\s+(.*?))?\s*$/.exec(line) ?? [];
    if (word === "slow" && /^\d+$/.test(rest)) {
      delayMs = Math.min(Number(rest), DELAY_LIMIT_MS);
      continue;
    }
    const tool = word === "tool" ? parseTool(rest) : undefined;
    if (tool) tools.push(tool);
    else ending = parseEnding(word, rest) ?? ending;
  }
  return { delayMs, tools, ending };
}

function parseTool(rest: string): ToolCall | undefined {
  const [, name, json = "{}"] = /^(\S+)(?:\s+(\{.*\}))?$/.exec(rest) ?? [];
  return name === undefined ? undefined : { name, arguments: json };
}

function parseEnding(word: string, rest: string): Ending | undefined {
  switch (word) {
    case "say":
      return rest === "" ? undefined : { kind: "say", text: rest };
    case "long":
      return /^\d+$/.test(rest)
        ? { kind: "long", chars: Math.min(Number(rest), LONG_LIMIT_CHARS) }
        : undefined;
    case "echo-system":
      return rest === "" ? undefined : { kind: "echoSystem", needle: rest };
    case "fail":
      return /^[45]\d\d$/.test(rest) ? { kind: "fail", status: Number(rest) } : undefined;
    case "markdown":
      return rest === "" ? { kind: "markdown" } : undefined;
    case "stream-then-die":
      return rest === "" ? { kind: "streamThenDie" } : undefined;
    case "garbage":
      return rest === "" ? { kind: "garbage" } : undefined;
    default:
      return undefined;
  }
}
