/**
 * The app-scoped Fly token that the backend scales with. The provider mints it and hands it straight to the
 * backend's secret store, so the token itself is in no input, no output and no state: only its id and expiry.
 */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { flyGraphql } from "../platform/flyApi.ts";
import { importRefused } from "./importing.ts";

interface FlyTokenInputs {
  graphqlUrl: string;
  appName: string;
  tokenName: string;
  expiryHours: number;
  convex: ConvexAccess;
}

interface FlyTokenState extends FlyTokenInputs {
  /** Version under which the backend stores it. */
  secretVersion: number;
  tokenId: string;
  /** Milliseconds since the epoch, on the clock that ran `pulumi up`. */
  createdAt: number;
  expiresAt: string;
}

interface AppTokens {
  app: {
    id: string;
    organization: { id: string };
    limitedAccessTokens: { nodes: Array<{ id: string; name: string; expiresAt: string }> };
  } | null;
}

const SECRET_REF = "fly.apiToken";
/** Share of a token's life after which the next `up` replaces it. */
const ROTATE_AFTER = 2 / 3;

const appTokensQuery = `query AppTokens($name: String!) {
  app(name: $name) { id organization { id } limitedAccessTokens { nodes { id name expiresAt } } }
}`;
const createMutation = `mutation CreateToken($input: CreateLimitedAccessTokenInput!) {
  createLimitedAccessToken(input: $input) { limitedAccessToken { id tokenHeader expiresAt } }
}`;
const deleteMutation = `mutation DeleteToken($input: DeleteLimitedAccessTokenInput!) {
  deleteLimitedAccessToken(input: $input) { token }
}`;

async function revoke(graphqlUrl: string, id: string): Promise<void> {
  try {
    await flyGraphql(graphqlUrl, deleteMutation, { input: { id } });
  } catch (error) {
    // Gone already is what was wanted.
    if (!/not found|does not exist|could not find/i.test(String(error))) throw error;
  }
}

async function mint(inputs: FlyTokenInputs): Promise<FlyTokenState> {
  const { app } = await flyGraphql<AppTokens>(inputs.graphqlUrl, appTokensQuery, { name: inputs.appName });
  if (!app) {
    throw new Error(
      `Fly app '${inputs.appName}' cannot be read. Run \`pulumi refresh\`, then \`pulumi up\`.`,
    );
  }
  const { createLimitedAccessToken: created } = await flyGraphql<{
    createLimitedAccessToken: { limitedAccessToken: { id: string; tokenHeader: string; expiresAt: string } };
  }>(inputs.graphqlUrl, createMutation, {
    input: {
      name: inputs.tokenName,
      organizationId: app.organization.id,
      profile: "deploy",
      profileParams: { app_id: app.id },
      expiry: `${inputs.expiryHours}h0m0s`,
    },
  });
  const token = created.limitedAccessToken;
  let imported: { version: number };
  try {
    imported = await runConvexFunction<{ version: number }>(inputs.convex, "factory:importSecret", {
      secretRef: SECRET_REF,
      plaintextValue: token.tokenHeader,
      metadata: { tokenId: token.id, expiresAt: token.expiresAt },
    });
  } catch (error) {
    await revoke(inputs.graphqlUrl, token.id);
    throw error;
  }
  // Earlier ones of this stack, also those of an `up` that was cut off before it could note the id.
  for (const node of app.limitedAccessTokens.nodes) {
    if (node.name === inputs.tokenName && node.id !== token.id) await revoke(inputs.graphqlUrl, node.id);
  }
  return {
    ...inputs,
    tokenId: token.id,
    secretVersion: imported.version,
    createdAt: Date.now(),
    expiresAt: token.expiresAt,
  };
}

export class FlyTokenProvider implements pulumi.dynamic.ResourceProvider<FlyTokenInputs, FlyTokenState> {
  async create(inputs: FlyTokenInputs): Promise<pulumi.dynamic.CreateResult<FlyTokenState>> {
    const state = await mint(inputs);
    return { id: inputs.tokenName, outs: state };
  }

  async read(id: string, state?: FlyTokenState): Promise<pulumi.dynamic.ReadResult<FlyTokenState>> {
    if (!state) throw importRefused();
    const { app } = await flyGraphql<AppTokens>(state.graphqlUrl, appTokensQuery, { name: state.appName });
    const alive = app?.limitedAccessTokens.nodes.some((node) => node.id === state.tokenId) ?? false;
    return alive ? { id, props: state } : { id: "", props: undefined };
  }

  async diff(_id: string, olds: FlyTokenState, news: FlyTokenInputs): Promise<pulumi.dynamic.DiffResult> {
    const replaces = olds.appName === news.appName ? [] : ["appName"];
    const lifeMs = olds.expiryHours * 3_600_000;
    const due = Date.now() > olds.createdAt + lifeMs * ROTATE_AFTER;
    const changed =
      olds.expiryHours !== news.expiryHours ||
      olds.tokenName !== news.tokenName ||
      olds.convex.url !== news.convex.url ||
      olds.graphqlUrl !== news.graphqlUrl;
    return { changes: replaces.length > 0 || due || changed, replaces };
  }

  async update(
    _id: string,
    olds: FlyTokenState,
    news: FlyTokenInputs,
  ): Promise<pulumi.dynamic.UpdateResult<FlyTokenState>> {
    const state = await mint(news);
    await revoke(olds.graphqlUrl, olds.tokenId);
    return { outs: state };
  }

  async delete(_id: string, state: FlyTokenState): Promise<void> {
    await revoke(state.graphqlUrl, state.tokenId);
    const [stored] = await runConvexFunction<Array<{ version: number | null }>>(
      state.convex,
      "factory:secretStatus",
      { secretRefs: [SECRET_REF] },
    );
    // A replacement has imported its own token by now: only the one that was revoked goes.
    if (stored?.version !== state.secretVersion) return;
    await runConvexFunction(state.convex, "factory:removeSecret", { secretRef: SECRET_REF });
  }
}

export interface FlyTokenArgs {
  graphqlUrl: pulumi.Input<string>;
  appName: pulumi.Input<string>;
  tokenName: pulumi.Input<string>;
  expiryHours: pulumi.Input<number>;
  convex: pulumi.Input<ConvexAccess>;
}

/** A deploy token of one app, kept fresh: replaced after two thirds of its life, revoked and removed on destroy. */
export class FlyToken extends pulumi.dynamic.Resource {
  declare readonly tokenId: pulumi.Output<string>;
  declare readonly expiresAt: pulumi.Output<string>;

  constructor(name: string, args: FlyTokenArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new FlyTokenProvider(),
      name,
      { ...args, tokenId: undefined, secretVersion: undefined, expiresAt: undefined, createdAt: undefined },
      options,
      "agent-factory",
      "FlyToken",
    );
  }
}
