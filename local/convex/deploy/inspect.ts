import type { JSONValue } from "convex/values";
import type { ValidatorJson } from "../values/describe.ts";

/** A function that user code exports, made callable. */
export interface RegisteredFunction {
  readonly name: string;
  readonly kind: "query" | "mutation" | "action";
  readonly visibility: "public" | "internal";
  /** Null accepts anything. */
  readonly args: ValidatorJson | null;
  readonly returns: ValidatorJson | null;
  /** Runs it. `args` is JSON of an array with one object; resolves to JSON of the result. */
  readonly invoke: (args: string) => Promise<string>;
}

export interface HttpRouter {
  lookup(path: string, method: string): readonly [HttpEndpoint, string, string] | null;
  getRoutes(): readonly (readonly [string, string, unknown])[];
}

export interface HttpEndpoint {
  invokeHttpAction(request: Request): Promise<Response>;
}

export interface CronSpec {
  /** Function path, `module:export`. */
  readonly name: string;
  readonly args: readonly JSONValue[];
  readonly schedule: CronSchedule;
}

export type CronSchedule =
  | {
      readonly type: "interval";
      readonly seconds?: number;
      readonly minutes?: number;
      readonly hours?: number;
    }
  | { readonly type: "hourly"; readonly minuteUTC?: number }
  | { readonly type: "daily"; readonly hourUTC: number; readonly minuteUTC?: number }
  | {
      readonly type: "weekly";
      readonly dayOfWeek: string;
      readonly hourUTC: number;
      readonly minuteUTC?: number;
    }
  | { readonly type: "monthly"; readonly day: number; readonly hourUTC: number; readonly minuteUTC?: number }
  | { readonly type: "cron"; readonly cron: string };

/** The flags and entry points that convex/server puts on a registered function. */
interface Registration {
  readonly isQuery?: boolean;
  readonly isMutation?: boolean;
  readonly isAction?: boolean;
  readonly isInternal?: boolean;
  readonly exportArgs?: () => string;
  readonly exportReturns?: () => string;
  readonly invokeQuery?: (args: string) => Promise<string>;
  readonly invokeMutation?: (args: string) => Promise<string>;
  readonly invokeAction?: (requestId: string, args: string) => Promise<string>;
}

function validatorOf(exported: (() => string) | undefined): ValidatorJson | null {
  if (exported === undefined) return null;
  const json = JSON.parse(exported()) as ValidatorJson | null;
  return json?.type === "any" ? null : json;
}

/** The function behind a module's export, or null when the export is something else. */
export function registered(name: string, value: unknown): RegisteredFunction | null {
  if (typeof value !== "function") return null;
  const registration = value as Registration;
  const common = {
    name,
    visibility: registration.isInternal === true ? "internal" : "public",
  } as const;
  const validators = () => ({
    args: validatorOf(registration.exportArgs),
    returns: validatorOf(registration.exportReturns),
  });
  const { invokeQuery, invokeMutation, invokeAction } = registration;
  if (registration.isQuery === true && invokeQuery !== undefined) {
    return { ...common, ...validators(), kind: "query", invoke: (args) => invokeQuery(args) };
  }
  if (registration.isMutation === true && invokeMutation !== undefined) {
    return { ...common, ...validators(), kind: "mutation", invoke: (args) => invokeMutation(args) };
  }
  if (registration.isAction === true && invokeAction !== undefined) {
    return { ...common, ...validators(), kind: "action", invoke: (args) => invokeAction("", args) };
  }
  return null;
}

/** Every registered function that a module exports. */
export function functionsOf(exports: Record<string, unknown>): RegisteredFunction[] {
  return Object.entries(exports).flatMap(([name, value]) => registered(name, value) ?? []);
}

/** The router that `http.ts` exports by default, or null. */
export function routerOf(exports: Record<string, unknown>): HttpRouter | null {
  const router = exports["default"] as (HttpRouter & { isRouter?: boolean }) | undefined;
  return router?.isRouter === true ? router : null;
}

/** The crons that `crons.ts` exports by default, by name, or null. */
export function cronsOf(exports: Record<string, unknown>): Record<string, CronSpec> | null {
  const crons = exports["default"] as { isCrons?: boolean; crons: Record<string, CronSpec> } | undefined;
  return crons?.isCrons === true ? crons.crons : null;
}
