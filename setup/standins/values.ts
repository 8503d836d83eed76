// Property values as they travel between engine and provider: plain JSON, in which a secret, an asset or an
// unknown is marked by a signature. The signatures are part of Pulumi's wire and never change.
import { isDeepStrictEqual } from "node:util";

import type { Struct as StructMessage } from "google-protobuf/google/protobuf/struct_pb.js";

import { Struct } from "./proto.ts";

/** One property value; objects with `signatureKey` are secrets, assets or references. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
/** The properties of one resource. */
export type Properties = Record<string, Value>;

const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

/** Stands for a value that is only known once the update has run. */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Marks a value as secret, so that the engine encrypts it in the state. Secrets do not nest. */
export function secret(value: Value): Value {
  return isSecret(value) ? value : { [signatureKey]: secretSignature, value };
}

/** The value without its secret marks, at any depth. */
export function reveal(value: Value): Value {
  if (Array.isArray(value)) return value.map(reveal);
  if (!isObject(value)) return value;
  return isSecret(value) ? reveal(inner(value)) : revealAll(value);
}

/** `reveal` for all properties of a resource. */
export function revealAll(properties: Properties): Properties {
  return Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, reveal(value)]));
}

/** Every string that is secret in `value`, at any depth: what must not reach a log. */
export function secretStrings(value: Value, inSecret = false): string[] {
  if (typeof value === "string") return inSecret ? [value] : [];
  if (Array.isArray(value)) return value.flatMap((item) => secretStrings(item, inSecret));
  if (!isObject(value)) return [];
  if (isSecret(value)) return secretStrings(inner(value), true);
  return Object.values(value).flatMap((item) => secretStrings(item, inSecret));
}

/** Whether a secret occurs anywhere in `value`. */
export function hasSecret(value: Value): boolean {
  if (Array.isArray(value)) return value.some(hasSecret);
  if (!isObject(value)) return false;
  return isSecret(value) || Object.values(value).some(hasSecret);
}

/** Whether an unknown occurs anywhere in `value`. */
export function hasUnknown(value: Value): boolean {
  if (value === unknown) return true;
  if (Array.isArray(value)) return value.some(hasUnknown);
  return isObject(value) && Object.values(value).some(hasUnknown);
}

/** Names of the properties that differ; marking a value secret is no difference, as with the real providers. */
export function changedKeys(olds: Properties, news: Properties): string[] {
  const keys = new Set([...Object.keys(olds), ...Object.keys(news)]);
  return [...keys]
    .filter((key) => !isDeepStrictEqual(reveal(olds[key] ?? null), reveal(news[key] ?? null)))
    .sort();
}

export function fromStruct(struct: StructMessage | undefined): Properties {
  return struct === undefined ? {} : struct.toJavaScript();
}

export function toStruct(properties: Properties): StructMessage {
  return Struct.fromJavaScript(properties);
}

function isSecret(value: Value): boolean {
  return isObject(value) && value[signatureKey] === secretSignature;
}

/** What a secret hides. */
function inner(value: { [key: string]: Value }): Value {
  return value["value"] ?? null;
}

function isObject(value: Value): value is { [key: string]: Value } {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}
