/** A value in a query: literals, variables still to be filled in, lists and objects of these. */
export type Value =
  | { kind: "variable"; name: string }
  | { kind: "literal"; value: string | number | boolean | null }
  | { kind: "list"; items: Value[] }
  | { kind: "object"; fields: Record<string, Value> };

export interface Selection {
  name: string;
  /** Key in the answer: the alias, or the name. */
  key: string;
  args: Record<string, Value>;
  selections: Selection[];
}

export interface Operation {
  kind: "query" | "mutation";
  selections: Selection[];
}

export class GraphqlSyntaxError extends Error {}

const TOKEN =
  /\s*(?:#[^\n]*\n\s*|,\s*)*([A-Za-z_]\w*|-?\d+(?:\.\d+)?|"(?:[^"\\\n]|\\.)*"|\.\.\.|[{}()[\]:!=$@|])/y;
const DEPTH_MAX = 20;

/**
 * Parses one operation of the part of GraphQL that Fly's clients use: fields with aliases and arguments. Fragments,
 * directives and several operations in one document are refused.
 */
export function parseOperation(text: string): Operation {
  return new Parser(tokensOf(text)).operation();
}

function tokensOf(text: string): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (match === null) {
      if (/^[\s,]*(?:#[^\n]*\n?[\s,]*)*$/.test(text.slice(at))) break;
      throw new GraphqlSyntaxError(`unexpected character at offset ${at}`);
    }
    tokens.push(match[1] ?? "");
    at = TOKEN.lastIndex;
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  operation(): Operation {
    const kind = this.#peek() === "{" ? "query" : this.#next();
    if (kind !== "query" && kind !== "mutation") throw new GraphqlSyntaxError(`cannot run '${kind}'`);
    // The operation's name and its variables' types carry nothing that is needed to run it.
    if (this.#peek() !== "{" && this.#peek() !== "(") this.#name();
    if (this.#peek() === "(") this.#skipParentheses();
    const selections = this.#selections(0);
    if (this.#at < this.#tokens.length)
      throw new GraphqlSyntaxError("only one operation per request is served");
    return { kind, selections };
  }

  #selections(depth: number): Selection[] {
    if (depth > DEPTH_MAX) throw new GraphqlSyntaxError("query is nested too deeply");
    this.#expect("{");
    const selections: Selection[] = [];
    while (this.#peek() !== "}") selections.push(this.#selection(depth));
    this.#expect("}");
    return selections;
  }

  #selection(depth: number): Selection {
    let name = this.#name();
    const key = name;
    if (this.#peek() === ":") {
      this.#next();
      name = this.#name();
    }
    const args = this.#peek() === "(" ? this.#arguments(depth) : {};
    const selections = this.#peek() === "{" ? this.#selections(depth + 1) : [];
    return { name, key, args, selections };
  }

  #arguments(depth: number): Record<string, Value> {
    this.#expect("(");
    const args = this.#fields(")", depth);
    this.#expect(")");
    return args;
  }

  #fields(end: string, depth: number): Record<string, Value> {
    const fields: Record<string, Value> = {};
    while (this.#peek() !== end) {
      const name = this.#name();
      this.#expect(":");
      fields[name] = this.#value(depth + 1);
    }
    return fields;
  }

  #value(depth: number): Value {
    if (depth > DEPTH_MAX) throw new GraphqlSyntaxError("value is nested too deeply");
    const token = this.#next();
    if (token === "$") return { kind: "variable", name: this.#name() };
    if (token === "[") {
      const items: Value[] = [];
      while (this.#peek() !== "]") items.push(this.#value(depth + 1));
      this.#expect("]");
      return { kind: "list", items };
    }
    if (token === "{") {
      const fields = this.#fields("}", depth);
      this.#expect("}");
      return { kind: "object", fields };
    }
    if (token.startsWith('"')) return { kind: "literal", value: JSON.parse(token) as string };
    if (token === "true" || token === "false") return { kind: "literal", value: token === "true" };
    if (token === "null") return { kind: "literal", value: null };
    if (/^-?\d/.test(token)) return { kind: "literal", value: Number(token) };
    if (/^[A-Za-z_]/.test(token)) return { kind: "literal", value: token }; // an enum value
    throw new GraphqlSyntaxError(`unexpected '${token}'`);
  }

  #skipParentheses(): void {
    let depth = 0;
    do {
      const token = this.#next();
      if (token === "(") depth += 1;
      if (token === ")") depth -= 1;
    } while (depth > 0);
  }

  #name(): string {
    const token = this.#next();
    if (!/^[A-Za-z_]/.test(token)) throw new GraphqlSyntaxError(`expected a name, found '${token}'`);
    return token;
  }

  #expect(wanted: string): void {
    const token = this.#next();
    if (token !== wanted) throw new GraphqlSyntaxError(`expected '${wanted}', found '${token}'`);
  }

  #peek(): string {
    return this.#tokens[this.#at] ?? "";
  }

  #next(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new GraphqlSyntaxError("query ends too early");
    this.#at += 1;
    return token;
  }
}
