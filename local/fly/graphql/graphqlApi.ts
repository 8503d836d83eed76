import { type Context, Hono } from "hono";
import * as z from "zod";
import type { AppStore } from "../apps/appStore.ts";
import { FlyError } from "../errors.ts";
import { authenticate } from "../http/api.ts";
import type { Env, Gateway } from "../http/gateway.ts";
import { readJson } from "../http/requestBody.ts";
import type { TokenStore } from "../tokens/tokenStore.ts";
import { execute, GraphqlFieldError } from "./execute.ts";
import { GraphqlSyntaxError, type Operation, parseOperation } from "./parse.ts";
import { rootFields } from "./schema.ts";

const BODY_BYTES_MAX = 256 * 1024;
const requestSchema = z.object({
  query: z.string().min(1),
  variables: z.record(z.string(), z.unknown()).nullish(),
  operationName: z.string().nullish(),
});

export interface GraphqlParts {
  apps: AppStore;
  tokens: TokenStore;
  gateway: Gateway;
  now: () => number;
  log: (line: string) => void;
}

/**
 * POST /graphql. As with Fly, a refused field is a 200 with `errors`; only a broken request has another status.
 * Calls are counted, and faults matched, as `graphql.<first field>`.
 */
export function mountGraphql(parts: GraphqlParts): Hono<Env> {
  const graphql = new Hono<Env>();
  graphql.post("/graphql", async (context) => {
    const parsed = await parseRequest(context);
    const name = parsed.kind === "operation" ? (parsed.operation.selections[0]?.name ?? "empty") : "invalid";
    return await parts.gateway.pass(context, `graphql.${name}`, undefined, () =>
      Promise.resolve(run(context, parsed, parts)),
    );
  });
  return graphql;
}

type Parsed =
  | { kind: "operation"; operation: Operation; variables: Record<string, unknown> }
  | { kind: "invalid"; message: string };

async function parseRequest(context: Context<Env>): Promise<Parsed> {
  try {
    const request = requestSchema.safeParse(await readJson(context.req.raw, BODY_BYTES_MAX));
    if (!request.success) return { kind: "invalid", message: "body must be {query, variables?}" };
    const operation = parseOperation(request.data.query);
    return { kind: "operation", operation, variables: request.data.variables ?? {} };
  } catch (error) {
    if (error instanceof GraphqlSyntaxError || error instanceof FlyError)
      return { kind: "invalid", message: error.message };
    throw error;
  }
}

function run(context: Context<Env>, parsed: Parsed, parts: GraphqlParts): Response {
  const failed = (status: number, code: string, message: string): Response =>
    Response.json({ data: null, errors: [{ message, extensions: { code } }] }, { status });
  if (parsed.kind === "invalid") return failed(400, "BAD_REQUEST", parsed.message);
  try {
    const principal = authenticate(context.req.header("authorization"), parts.tokens);
    const roots = rootFields(principal, parts.apps, parts.tokens, parts.now);
    return Response.json({ data: execute(parsed.operation, parsed.variables, roots) });
  } catch (error) {
    if (error instanceof GraphqlFieldError) return failed(200, error.code, error.message);
    if (error instanceof FlyError) return failed(error.status, "UNAUTHORIZED", error.message);
    parts.log(`graphql failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return failed(500, "SERVER_ERROR", "internal error of the emulator; see its log");
  }
}
