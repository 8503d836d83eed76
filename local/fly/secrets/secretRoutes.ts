import * as z from "zod";
import { FlyError, failedPrecondition, invalidArgument, notFound, parseInput } from "../errors.ts";
import { type AppCall, type Route, ok } from "../http/route.ts";
import type { Secret, SecretStore } from "./secretStore.ts";

const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,254}$/;
const VALUE_LENGTH_MAX = 64 * 1024;
const secretName = z
  .string()
  .regex(NAME, "must be letters, digits and underscores, not starting with a digit");
const secretValue = z.string().max(VALUE_LENGTH_MAX);
const updateBody = z.object({ values: z.record(secretName, secretValue.nullable()) });
const setBody = z.object({ value: secretValue });

/** `show_secrets` works for an organization's own token only; who may use it on Fly is not documented. */
function mayShow(call: AppCall): boolean {
  if (call.query.get("show_secrets") !== "true") return false;
  if (call.principal.kind !== "org") throw new FlyError(403, "show_secrets needs an organization token");
  return true;
}

const view = (secret: Secret, show: boolean): Record<string, unknown> => ({
  name: secret.name,
  digest: secret.digest,
  created_at: new Date(secret.createdAtMs).toISOString(),
  updated_at: new Date(secret.updatedAtMs).toISOString(),
  ...(show ? { value: secret.value } : {}),
});

/** `version` and its deprecated twin. */
const versions = (version: number): { version: number; Version: number } => ({ version, Version: version });

export function secretRoutes(secrets: SecretStore, now: () => number): Route[] {
  /** The OpenAPI document says `min_version`, fly-go sends `version`: both are honoured. */
  const requireVersion = (call: AppCall): void => {
    const text = call.query.get("min_version") ?? call.query.get("version");
    if (text === null) return;
    const wanted = Number(text);
    if (!Number.isInteger(wanted)) throw invalidArgument("min_version: must be an integer");
    const current = secrets.version(call.app.name);
    if (current < wanted)
      throw failedPrecondition(`secrets are at version ${current}, min_version is ${wanted}`);
  };
  const nameOf = (call: AppCall): string => parseInput(secretName, call.params["secret"]);
  const base = "/v1/apps/:app/secrets";
  return [
    {
      operation: "Secrets_list",
      method: "GET",
      path: base,
      access: "app",
      handle: (call) => {
        requireVersion(call);
        const show = mayShow(call);
        return ok({ secrets: secrets.list(call.app.name).map((secret) => view(secret, show)) });
      },
    },
    {
      operation: "Secrets_update",
      method: "POST",
      path: base,
      access: "app",
      handle: (call) => {
        const { values } = parseInput(updateBody, call.body);
        const version = secrets.update(call.app.name, values, now());
        return ok({
          secrets: secrets.list(call.app.name).map((secret) => view(secret, false)),
          ...versions(version),
        });
      },
    },
    {
      operation: "Secret_get",
      method: "GET",
      path: `${base}/:secret`,
      access: "app",
      handle: (call) => {
        requireVersion(call);
        const show = mayShow(call);
        const secret = secrets.find(call.app.name, nameOf(call));
        if (secret === null) throw notFound("secret not found");
        return ok(view(secret, show));
      },
    },
    {
      operation: "Secret_create",
      method: "POST",
      path: `${base}/:secret`,
      access: "app",
      handle: (call) => {
        const name = nameOf(call);
        const version = secrets.update(
          call.app.name,
          { [name]: parseInput(setBody, call.body).value },
          now(),
        );
        const secret = secrets.find(call.app.name, name);
        if (secret === null) throw new Error(`secret ${name} vanished after its own write`);
        return { status: 201, body: { ...view(secret, false), ...versions(version) } };
      },
    },
    {
      operation: "Secret_delete",
      method: "DELETE",
      path: `${base}/:secret`,
      access: "app",
      handle: (call) => {
        const name = nameOf(call);
        if (secrets.find(call.app.name, name) === null) throw notFound("secret not found");
        return ok(versions(secrets.update(call.app.name, { [name]: null }, now())));
      },
    },
  ];
}
