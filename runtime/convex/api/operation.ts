/** One operation of the API: its route, its shapes, what it needs, what it does. The OpenAPI document is made from these. */
import * as z from "zod";
import type { ActionCtx } from "../_generated/server.js";
import type { Principal } from "./authorize.ts";
import type { ApiScope } from "./tables.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

type Shape = z.ZodObject;

export type OperationSpec<P extends Shape, Q extends Shape, B extends z.ZodType, R extends z.ZodType> = {
  id: string;
  method: Method;
  /** Below `/agent-factory/v1`, with `{name}` for each of `params`. */
  path: string;
  summary: string;
  scope: ApiScope;
  params: P;
  query: Q;
  /** z.undefined() when there is none. */
  body: B;
  /** It reaches people and answers of any agent: refused to a key that is limited to some. */
  wholeCompany?: true;
  /** Set for operations that take an Idempotency-Key: what the same key means to it. */
  idempotent?: string;
  status: 200 | 201 | 202;
  response: R;
  run(
    ctx: ActionCtx,
    principal: Principal,
    input: { params: z.output<P>; query: z.output<Q>; body: z.output<B>; idempotencyKey: string | null },
  ): Promise<z.input<R>>;
};

/** An operation whose own types are known only to itself: the router parses before it runs. */
export type Operation = Omit<OperationSpec<Shape, Shape, z.ZodType, z.ZodType>, "run"> & {
  run(
    ctx: ActionCtx,
    principal: Principal,
    input: { params: unknown; query: unknown; body: unknown; idempotencyKey: string | null },
  ): Promise<unknown>;
};

/** Checks the parts against one another and forgets their types. */
export function operation<P extends Shape, Q extends Shape, B extends z.ZodType, R extends z.ZodType>(
  spec: OperationSpec<P, Q, B, R>,
): Operation {
  // Sound because api/handle.ts hands `run` nothing but what params, query and body have parsed.
  return spec;
}

export const noParams = z.strictObject({});
export const noBody = z.undefined();
/** Query strings come with anything that proxies add; what is not named is ignored. */
export const noQuery = z.object({});
