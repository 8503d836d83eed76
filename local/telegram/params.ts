import type * as z from "zod";
import { ApiError, badRequest } from "./errors.ts";

/** A file that came with a multipart call. */
export interface Upload {
  name: string;
  mime: string;
  bytes: Uint8Array;
}

/** The parameters of one Bot API call, however they were sent. Names are exact; values are kept as text. */
export interface Params {
  text(name: string): string | undefined;
  /** @throws 400 when the value is not an integer. */
  integer(name: string): number | undefined;
  flag(name: string): boolean;
  /** Parses a JSON value; `problem` is the error's text when it is not JSON or not of this shape. */
  json<Value>(name: string, schema: z.ZodType<Value>, problem: string): Value | undefined;
  upload(name: string): Upload | undefined;
}

/** Wraps plain values: those that are not text are re-encoded as JSON, which is what Telegram's server does. */
export function paramsFrom(
  values: Iterable<[string, unknown]>,
  uploads: ReadonlyMap<string, Upload> = new Map(),
): Params {
  const texts = new Map<string, string>();
  for (const [name, value] of values) {
    if (value === null || value === undefined) continue;
    texts.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  const text = (name: string): string | undefined => texts.get(name);
  return {
    text,
    integer(name) {
      const value = text(name)?.trim();
      if (value === undefined || value === "") return undefined;
      if (!/^-?\d{1,16}$/.test(value))
        throw badRequest(`invalid parameter "${name}": an integer is expected`);
      return Number(value);
    },
    flag: (name) => ["true", "1", "yes", "t", "y"].includes(text(name)?.toLowerCase() ?? ""),
    json(name, schema, problem) {
      const value = text(name);
      if (value === undefined || value === "") return undefined;
      const parsed = schema.safeParse(parseJson(value));
      if (!parsed.success) throw badRequest(problem);
      return parsed.data;
    },
    upload: (name) => uploads.get(name),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // An unparsable value is not of the wanted shape either: the caller's schema turns this into its own error.
    return undefined;
  }
}

/** Reads a call's parameters from its query and its JSON, form or multipart body. */
export async function readParams(request: Request): Promise<Params> {
  const values: [string, unknown][] = [...new URL(request.url).searchParams];
  const uploads = new Map<string, Upload>();
  if (request.method === "POST") {
    const type = request.headers.get("content-type") ?? "";
    if (type.startsWith("application/json")) {
      values.push(...Object.entries(parseObject(await request.text())));
    } else if (type.startsWith("application/x-www-form-urlencoded")) {
      values.push(...new URLSearchParams(await request.text()));
    } else if (type.startsWith("multipart/form-data")) {
      for (const [name, value] of await readForm(request)) {
        if (typeof value === "string") values.push([name, value]);
        else
          uploads.set(name, {
            name: value.name,
            mime: value.type,
            bytes: new Uint8Array(await value.arrayBuffer()),
          });
      }
    }
  }
  return paramsFrom(values, uploads);
}

async function readForm(request: Request): Promise<FormData> {
  try {
    return await request.formData();
  } catch (error) {
    throw new ApiError(400, `Bad Request: can't parse multipart body: ${String(error)}`);
  }
}

function parseObject(text: string): Record<string, unknown> {
  if (text.trim() === "") return {};
  const value = parseJson(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw badRequest("can't parse JSON object");
  }
  return value as Record<string, unknown>;
}
