import * as z from "zod";
import type { App, AppStore } from "../apps/appStore.ts";
import { FlyError } from "../errors.ts";
import { expiryOf } from "../tokens/tokenRoutes.ts";
import type { Principal, TokenRow, TokenStore } from "../tokens/tokenStore.ts";
import { type Arguments, GraphqlFieldError, type GraphqlObject, type RootFields } from "./execute.ts";

const createInput = z.object({
  name: z.string().min(1),
  organizationId: z.string().min(1),
  profile: z.literal("deploy"),
  profileParams: z.object({ app_id: z.string().min(1) }),
  expiry: z.string().nullish(),
  clientMutationId: z.string().nullish(),
});
const deleteInput = z
  .object({ id: z.string().nullish(), token: z.string().nullish(), clientMutationId: z.string().nullish() })
  .refine((input) => (input.id ?? input.token ?? null) !== null, "needs id or token");

/** An organization's node id is a form of its slug; opaque to clients. */
const organizationId = (slug: string): string => `org-${Buffer.from(slug).toString("base64url")}`;
const notFound = (what: string): GraphqlFieldError =>
  new GraphqlFieldError("NOT_FOUND", `Could not find ${what}`);
const unauthorized = (): GraphqlFieldError =>
  new GraphqlFieldError("UNAUTHORIZED", "Not authorized to access this");

function parse<T extends z.ZodType>(schema: T, args: Arguments): z.output<T> {
  const result = schema.safeParse(args["input"]);
  if (result.success) return result.data;
  const problems = result.error.issues.map(
    (issue) => `input.${issue.path.map(String).join(".")}: ${issue.message}`,
  );
  throw new GraphqlFieldError("argumentLiteralsIncompatible", problems.join("; "));
}

/** The root fields for one caller: app, organization, and the limited access tokens. */
export function rootFields(
  principal: Principal,
  apps: AppStore,
  tokens: TokenStore,
  now: () => number,
): RootFields {
  const organization = (slug: string): GraphqlObject => ({
    id: organizationId(slug),
    slug,
    rawSlug: slug,
    name: slug,
    type: slug === "personal" ? "PERSONAL" : "SHARED",
  });
  const tokenView = (row: TokenRow): GraphqlObject => ({
    id: row.id,
    name: row.name,
    profile: "deploy",
    createdAt: new Date(row.createdAtMs).toISOString(),
    expiresAt: row.expiresAtMs === null ? null : new Date(row.expiresAtMs).toISOString(),
  });
  const appView = (app: App): GraphqlObject => ({
    id: app.id,
    name: app.name,
    organization: () => organization(app.org),
    limitedAccessTokens: () => ({ nodes: tokens.listOfApp(app.name).map(tokenView) }),
  });
  const covers = (app: App): boolean =>
    principal.kind === "app" ? principal.app === app.name : principal.org === app.org;
  const requireOrgToken = (): void => {
    if (principal.kind !== "org") throw unauthorized();
  };

  return {
    query: {
      app: (args) => {
        const app = apps.find(String(args["name"]));
        if (app === null || !covers(app)) throw notFound("App");
        return appView(app);
      },
      organization: (args) => {
        if (args["slug"] !== principal.org) throw notFound("Organization");
        return organization(principal.org);
      },
    },
    mutation: {
      createLimitedAccessToken: (args) => {
        requireOrgToken();
        const input = parse(createInput, args);
        if (input.organizationId !== organizationId(principal.org)) throw notFound("Organization");
        const wanted = input.profileParams.app_id;
        const app = apps.findById(wanted) ?? apps.find(wanted);
        if (app === null || !covers(app)) throw notFound("App");
        const expiresAtMs = expiryFor(input.expiry, now());
        const created = tokens.create({ name: input.name, org: app.org, app: app.name, expiresAtMs });
        const limitedAccessToken: GraphqlObject = {
          id: created.id,
          name: input.name,
          token: created.token,
          tokenHeader: created.token,
          expiresAt: new Date(expiresAtMs).toISOString(),
        };
        return { limitedAccessToken, clientMutationId: input.clientMutationId ?? null };
      },
      deleteLimitedAccessToken: (args) => {
        requireOrgToken();
        const input = parse(deleteInput, args);
        const found = input.id != null ? tokens.findById(input.id) : tokens.findByText(input.token ?? "");
        if (found === null || found.org !== principal.org || found.app === null)
          throw notFound("LimitedAccessToken");
        tokens.revoke(found.id);
        return { token: input.token ?? null, clientMutationId: input.clientMutationId ?? null };
      },
    },
  };
}

function expiryFor(expiry: string | null | undefined, nowMs: number): number {
  try {
    return expiryOf(expiry, nowMs);
  } catch (error) {
    if (error instanceof FlyError) throw new GraphqlFieldError("INVALID", error.message);
    throw error;
  }
}
