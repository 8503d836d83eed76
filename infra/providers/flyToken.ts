/**
 * The app-scoped Fly token that the backend scales with. The provider mints it and hands it straight to the
 * backend's secret store, so the token itself is in no input, no output and no state: only its id and expiry.
 */
import * as pulumi from "@pulumi/pulumi";
import { type ConvexAccess, runConvexFunction } from "../platform/convexApi.ts";
import { flyGraphql } from "../platform/flyApi.ts";
import { isOutcomeUnknown } from "../platform/http.ts";
import { convexMoved, unlessDeploymentGone } from "./convexPlace.ts";
import { awaitTokenEnd } from "./formerApp.ts";
import { importRefused } from "./importing.ts";

interface FlyTokenInputs {
  graphqlUrl: string;
  appName: string;
  tokenName: string;
  expiryHours: number;
  convex: ConvexAccess;
}

interface FlyTokenState extends FlyTokenInputs {
  /** Version under which the backend stores it; 0 when refresh found another one or none there. */
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

interface CreatedToken {
  id: string;
  tokenHeader: string;
  expiresAt: string;
}

interface SecretStatus {
  hasActive: boolean;
  version: number | null;
}

/** The app with its tokens; null when the app is gone. */
async function readApp(inputs: Pick<FlyTokenInputs, "graphqlUrl" | "appName">): Promise<AppTokens["app"]> {
  try {
    const { app } = await flyGraphql<AppTokens>(inputs.graphqlUrl, appTokensQuery, { name: inputs.appName });
    return app;
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** Fly's words for what is not there. */
function isNotFound(error: unknown): boolean {
  return /not found|does not exist|could not find/i.test(String(error));
}

async function revoke(graphqlUrl: string, id: string): Promise<void> {
  try {
    await flyGraphql(graphqlUrl, deleteMutation, { input: { id } });
  } catch (error) {
    // Gone already is what was wanted.
    if (!isNotFound(error)) throw error;
  }
}

async function create(inputs: FlyTokenInputs, app: NonNullable<AppTokens["app"]>): Promise<CreatedToken> {
  const { createLimitedAccessToken: created } = await flyGraphql<{
    createLimitedAccessToken: { limitedAccessToken: CreatedToken };
  }>(inputs.graphqlUrl, createMutation, {
    input: {
      name: inputs.tokenName,
      organizationId: app.organization.id,
      profile: "deploy",
      profileParams: { app_id: app.id },
      expiry: `${inputs.expiryHours}h0m0s`,
    },
  });
  return created.limitedAccessToken;
}

/** Hands the token to the backend. @returns the version under which it is stored. */
async function importToken(inputs: FlyTokenInputs, token: CreatedToken): Promise<number> {
  try {
    const { version } = await runConvexFunction<{ version: number }>(
      inputs.convex,
      "factory:importSecret",
      {
        secretRef: SECRET_REF,
        plaintextValue: token.tokenHeader,
        // The app tells which token opens which: while a stack moves, the backend uses two.
        metadata: { appName: inputs.appName, tokenId: token.id, expiresAt: token.expiresAt },
        actor: "pulumi",
      },
      [token.tokenHeader],
    );
    return version;
  } catch (error) {
    // When the backend may have it, revoking it would leave the scaler without one; the next run tidies up.
    if (!isOutcomeUnknown(error)) await revoke(inputs.graphqlUrl, token.id).catch(() => undefined);
    throw error;
  }
}

async function storedVersion(convex: ConvexAccess): Promise<number> {
  const [status] = await runConvexFunction<SecretStatus[]>(convex, "factory:secretStatus", {
    secretRefs: [SECRET_REF],
  });
  return status?.hasActive ? (status.version ?? 0) : 0;
}

/** A new token in the backend; earlier ones of this stack are revoked once it is there, never before. */
async function mint(inputs: FlyTokenInputs, formerId?: string): Promise<FlyTokenState> {
  const app = await readApp(inputs);
  if (!app) {
    throw new Error(
      `Fly app '${inputs.appName}' cannot be read. Run \`pulumi refresh\`, then \`pulumi up\`.`,
    );
  }
  const createdAt = Date.now();
  const token = await create(inputs, app);
  const secretVersion = await importToken(inputs, token);
  // By name too: an `up` that was cut off could not note the id of the token that it had made.
  for (const node of app.limitedAccessTokens.nodes) {
    if (node.name === inputs.tokenName || node.id === formerId) await revoke(inputs.graphqlUrl, node.id);
  }
  return { ...inputs, tokenId: token.id, secretVersion, createdAt, expiresAt: token.expiresAt };
}

/** Share of a token's life is over: the next `up` replaces it. @param now ms since the epoch. */
export function isRotationDue(token: Pick<FlyTokenState, "createdAt" | "expiryHours">, now: number): boolean {
  return now > token.createdAt + token.expiryHours * 3_600_000 * ROTATE_AFTER;
}

export class FlyTokenProvider implements pulumi.dynamic.ResourceProvider<FlyTokenInputs, FlyTokenState> {
  async create(inputs: FlyTokenInputs): Promise<pulumi.dynamic.CreateResult<FlyTokenState>> {
    const state = await mint(inputs);
    return { id: inputs.tokenName, outs: state };
  }

  async read(id: string, state?: FlyTokenState): Promise<pulumi.dynamic.ReadResult<FlyTokenState>> {
    if (!state) throw importRefused();
    const app = await readApp(state);
    const listed = app?.limitedAccessTokens.nodes.find((node) => node.id === state.tokenId);
    if (!listed || Date.parse(listed.expiresAt) <= Date.now()) return { id: "", props: undefined };
    const version = await unlessDeploymentGone(storedVersion(state.convex), 0);
    return { id, props: { ...state, secretVersion: version === state.secretVersion ? version : 0 } };
  }

  async diff(_id: string, olds: FlyTokenState, news: FlyTokenInputs): Promise<pulumi.dynamic.DiffResult> {
    const replaces = olds.appName === news.appName ? [] : ["appName"];
    const changed =
      isRotationDue(olds, Date.now()) ||
      // The backend has another token than ours, or none (seen by refresh).
      olds.secretVersion === 0 ||
      olds.expiryHours !== news.expiryHours ||
      olds.tokenName !== news.tokenName ||
      olds.graphqlUrl !== news.graphqlUrl ||
      convexMoved(olds.convex, news.convex).changed;
    return { changes: replaces.length > 0 || changed, replaces };
  }

  async update(
    _id: string,
    olds: FlyTokenState,
    news: FlyTokenInputs,
  ): Promise<pulumi.dynamic.UpdateResult<FlyTokenState>> {
    return { outs: await mint(news, olds.tokenId) };
  }

  /** While the stack moves to another app, the former one's token goes when its last worker has gone. */
  async delete(_id: string, state: FlyTokenState): Promise<void> {
    const { verdict, activeTokenId } = await awaitTokenEnd(state.convex, state);
    if (verdict === "successor") {
      await revoke(state.graphqlUrl, state.tokenId);
      return;
    }
    // By name too, as in `mint`; the tokens of an app that is gone went with it.
    const nodes = (await readApp(state))?.limitedAccessTokens.nodes ?? [];
    const ours = nodes
      .filter((node) => node.name === state.tokenName || node.id === state.tokenId)
      .map(({ id }) => id);
    // The backend first: a refresh takes a token that Fly has not for one that is gone, so that a delete which was cut
    // off after the revocation would never be finished.
    await unlessDeploymentGone(
      forget(state, [state.tokenId, ...ours].includes(activeTokenId ?? "")),
      undefined,
    );
    for (const id of ours) await revoke(state.graphqlUrl, id);
  }
}

/** Takes the token out of the backend, unless what is there is another app's or somebody else's by now. */
async function forget(state: FlyTokenState, isActive: boolean): Promise<void> {
  if (!isActive) {
    const version = await storedVersion(state.convex);
    if (version === 0 || version !== state.secretVersion) return;
  }
  await runConvexFunction(state.convex, "factory:removeSecret", { secretRef: SECRET_REF, actor: "pulumi" });
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
