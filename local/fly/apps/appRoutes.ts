import * as z from "zod";
import { FlyError, failedPrecondition, invalidArgument, parseInput } from "../errors.ts";
import { type Route, ok } from "../http/route.ts";
import type { App, AppStore } from "./appStore.ts";

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const NETWORK = /^[a-zA-Z][a-zA-Z0-9-]{0,62}$/;
const PAGE_MAX = 5_000;

const createBody = z.object({
  name: z.string().regex(NAME, "must be lowercase letters, digits and dashes, at most 63").optional(),
  org_slug: z.string().min(1),
  network: z.string().regex(NETWORK, "must be letters, digits and dashes, starting with a letter").optional(),
  enable_subdomains: z.boolean().optional(),
  idempotency_key: z.string().min(1).max(255).optional(),
});

export interface AppRouteParts {
  apps: AppStore;
  /** Live machines of an app, for the counts and for the refusal to delete without force. */
  countMachines: (app: string) => number;
  countVolumes: (app: string) => number;
  /** Destroys every machine and volume folder of an app; resolves when nothing of it runs. */
  clear: (app: string) => Promise<void>;
  organizations: readonly string[];
  now: () => number;
}

export function appRoutes(parts: AppRouteParts): Route[] {
  const { apps } = parts;
  const view = (app: App): Record<string, unknown> => ({
    id: app.id,
    internal_numeric_id: app.numericId,
    name: app.name,
    status: parts.countMachines(app.name) > 0 ? "deployed" : "pending",
    network: app.network,
    organization: {
      slug: app.org,
      name: app.org,
      internal_numeric_id: parts.organizations.indexOf(app.org) + 1,
    },
    machine_count: parts.countMachines(app.name),
    volume_count: parts.countVolumes(app.name),
  });
  return [
    {
      operation: "Apps_create",
      method: "POST",
      path: "/v1/apps",
      access: "org",
      handle: (call) => {
        const body = parseInput(createBody, call.body);
        if (body.org_slug !== call.principal.org)
          throw new FlyError(403, `token does not cover organization ${body.org_slug}`);
        if (body.name === undefined && body.idempotency_key === undefined)
          throw invalidArgument("name: required");
        const created = apps.create(
          {
            name: body.name,
            org: body.org_slug,
            network: body.network ?? "default",
            idempotencyKey: body.idempotency_key,
          },
          parts.now(),
        );
        return { status: 201, body: { id: created.id, created_at: Math.floor(created.createdAtMs / 1_000) } };
      },
    },
    {
      operation: "Apps_list",
      method: "GET",
      path: "/v1/apps",
      access: "org",
      handle: (call) => {
        const slug = call.query.get("org_slug");
        if (slug === null) throw invalidArgument("org_slug: required");
        if (slug !== call.principal.org) throw new FlyError(403, `token does not cover organization ${slug}`);
        const limit = Number(call.query.get("limit") ?? PAGE_MAX);
        if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_MAX)
          throw invalidArgument("limit: must be 1 to 5000");
        const all = apps.list(slug);
        const cursor = call.query.get("cursor");
        const from = cursor === null || cursor === "" ? 0 : all.findIndex((app) => app.id === cursor) + 1;
        const page = all.slice(from, from + limit);
        const more = from + page.length < all.length;
        return ok({
          total_apps: all.length,
          apps: page.map(view),
          ...(more ? { next_cursor: page.at(-1)?.id } : {}),
        });
      },
    },
    {
      operation: "Apps_show",
      method: "GET",
      path: "/v1/apps/:app",
      access: "app",
      handle: (call) => ok(view(call.app)),
    },
    {
      operation: "Apps_delete",
      method: "DELETE",
      path: "/v1/apps/:app",
      access: "app",
      handle: async (call) => {
        const { name } = call.app;
        if (call.query.get("force") !== "true" && parts.countMachines(name) > 0) {
          throw failedPrecondition(`app ${name} still has machines; destroy them or pass force=true`);
        }
        await parts.clear(name);
        apps.delete(name);
        return { status: 202 };
      },
    },
  ];
}
