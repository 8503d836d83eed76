/**
 * A Fly app with its own network. The network's name is the owner's mark: it is set once at creation, so an
 * app of another owner is recognised and refused (invariant 10).
 */
import * as pulumi from "@pulumi/pulumi";
import { canonicalJson } from "../platform/canonicalJson.ts";
import type { ConvexAccess } from "../platform/convexApi.ts";
import { flyError, flyRest } from "../platform/flyApi.ts";
import { pause } from "../platform/pause.ts";
import { isInUseAgain } from "./formerApp.ts";
import { importRefused } from "./importing.ts";

/** What the app is. */
interface AppPlace {
  apiUrl: string;
  name: string;
  organization: string;
  /** The owner's mark. */
  network: string;
  /** Take over an app without an owner's mark (an import). */
  adoptUnowned: boolean;
}

export interface FlyAppInputs extends AppPlace {
  /** The backend that scales in the app: asked before the app is deleted. */
  convex: ConvexAccess;
}

export interface FlyAppState extends AppPlace {
  /** Missing in the state of earlier releases. */
  convex?: ConvexAccess;
  /** The network that the app really has: the owner's mark, or an adopted app's own. */
  networkFound?: string;
  /** Fly's id of the app: another one for an app that was made anew under the same name. */
  appId?: string;
}

/** How often a fresh app is looked for, once a second. */
const VISIBLE_TRIES_MAX = 60;
/** The same for an app of ours whose name is taken although nobody sees it: it was made a moment ago. */
const TAKEN_TRIES_MAX = 10;

interface FlyAppAnswer {
  id?: string;
  name: string;
  network?: string;
  organization?: { slug?: string };
}

/** What stands under the name: our app, nothing, or a reason to refuse. */
async function lookUp(state: AppPlace): Promise<FlyAppAnswer | null> {
  const answer = await flyRest(state.apiUrl, "GET", `/apps/${state.name}`);
  if (answer.status === 200) return answer.body as FlyAppAnswer;
  if (answer.status === 404) return null;
  if (answer.status === 403) {
    throw new Error(
      `Fly app '${state.name}' exists in another organization. Set agent-factory:fly.appName to a free name.`,
    );
  }
  throw flyError("GET", `/apps/${state.name}`, answer);
}

/** @throws Error when the app belongs to another owner or organization. */
function requireOurs(app: FlyAppAnswer, state: AppPlace): void {
  const organization = app.organization?.slug;
  if (organization !== undefined && organization !== state.organization) {
    throw new Error(
      `Fly app '${state.name}' belongs to organization '${organization}', expected '${state.organization}'. Check agent-factory:fly.organization.`,
    );
  }
  const network = app.network ?? "";
  if (network === state.network) return;
  const unowned = network === "" || network === "default" || !network.startsWith("af-");
  if (unowned && state.adoptUnowned) return;
  throw new Error(
    unowned
      ? `Fly app '${state.name}' exists and was not made by this stack. Choose another agent-factory:fly.appName, or set agent-factory:fly.adoptUnowned to true to take it over.`
      : `Fly app '${state.name}' is owned by another deployment (network '${network}', expected '${state.network}'). One Fly app serves one Convex deployment: choose another agent-factory:fly.appName.`,
  );
}

/** A fresh app can briefly answer 404 or 401: looks until it can be read. Null when it never could. */
async function waitUntilVisible(state: AppPlace, tries: number): Promise<FlyAppAnswer | null> {
  for (let attempt = 0; attempt < tries; attempt++) {
    const answer = await flyRest(state.apiUrl, "GET", `/apps/${state.name}`);
    if (answer.status === 200) return answer.body as FlyAppAnswer;
    if (answer.status !== 404 && answer.status !== 401) throw flyError("GET", `/apps/${state.name}`, answer);
    await pause(1_000);
  }
  return null;
}

/** Asks Fly for the app. Null when its name is taken. @throws Error with what to correct. */
async function makeApp(state: AppPlace): Promise<FlyAppAnswer | null> {
  const answer = await flyRest(state.apiUrl, "POST", "/apps", {
    // Without an idempotency key: Fly would answer with the app that it made under the same key before, also when
    // somebody has deleted that one since. What a lost answer has made is found by its name.
    json: { name: state.name, org_slug: state.organization, network: state.network },
  });
  if (answer.status === 422 && /name_taken|taken/i.test(answer.text)) return null;
  if (answer.status === 403 || answer.status === 404) {
    throw new Error(
      `Fly refused to create app '${state.name}' in organization '${state.organization}' (${answer.status}). Check agent-factory:fly.organization, and that FLY_API_TOKEN is a token of that organization.`,
    );
  }
  if (answer.status !== 201 && answer.status !== 200) throw flyError("POST", "/apps", answer);
  const app = await waitUntilVisible(state, VISIBLE_TRIES_MAX);
  if (app) return app;
  throw new Error(
    `Fly app '${state.name}' was created but cannot be read after ${VISIBLE_TRIES_MAX} s. Run \`pulumi up\` again.`,
  );
}

async function ensureApp(state: AppPlace): Promise<FlyAppAnswer> {
  // What stands there already: an `up` that was interrupted after the call. The mark says whether it is ours.
  const app =
    (await lookUp(state)) ?? (await makeApp(state)) ?? (await waitUntilVisible(state, TAKEN_TRIES_MAX));
  if (!app) {
    throw new Error(
      `The Fly app name '${state.name}' is taken. Set agent-factory:fly.appName to a free name.`,
    );
  }
  requireOurs(app, state);
  return app;
}

/** A name cannot exist twice: with the same one, everybody would be cut off before the new app stands. */
function sameName(olds: FlyAppState, news: FlyAppInputs): Error {
  const changes = (["organization", "network"] as const)
    .filter((key) => olds[key] !== news[key])
    .map((key) => `${key} '${olds[key]}' to '${news[key]}'`);
  return new Error(
    `Fly app '${news.name}' would have to be replaced (${changes.join(", ")}), and its name cannot exist twice. Set agent-factory:fly.appName to another name as well: the new app then takes over before this one is deleted.`,
  );
}

function idOf(app: FlyAppAnswer): { appId?: string } {
  return app.id ? { appId: app.id } : {};
}

export class FlyAppProvider implements pulumi.dynamic.ResourceProvider<FlyAppInputs, FlyAppState> {
  async create(inputs: FlyAppInputs): Promise<pulumi.dynamic.CreateResult<FlyAppState>> {
    const app = await ensureApp(inputs);
    return {
      id: inputs.name,
      outs: { ...inputs, networkFound: app.network ?? inputs.network, ...idOf(app) },
    };
  }

  async read(id: string, state?: FlyAppState): Promise<pulumi.dynamic.ReadResult<FlyAppState>> {
    if (!state) throw importRefused();
    const app = await lookUp(state);
    // An app can never change its network: with another one, ours was deleted and this is somebody's new one.
    if (!app || (app.network ?? "") !== (state.networkFound ?? state.network)) {
      return { id: "", props: undefined };
    }
    return {
      id,
      props: { ...state, organization: app.organization?.slug ?? state.organization, ...idOf(app) },
    };
  }

  async diff(_id: string, olds: FlyAppState, news: FlyAppInputs): Promise<pulumi.dynamic.DiffResult> {
    const replaces = (["name", "organization", "network"] as const).filter((key) => olds[key] !== news[key]);
    if (replaces.length > 0 && olds.name === news.name) throw sameName(olds, news);
    const noted = (["apiUrl", "adoptUnowned"] as const).some((key) => olds[key] !== news[key]);
    const moved = canonicalJson(olds.convex ?? null) !== canonicalJson(news.convex);
    // Never deleted first: the new app takes over, then the former one goes.
    return { changes: replaces.length > 0 || noted || moved, replaces };
  }

  async update(
    _id: string,
    olds: FlyAppState,
    news: FlyAppInputs,
  ): Promise<pulumi.dynamic.UpdateResult<FlyAppState>> {
    return {
      outs: {
        ...news,
        networkFound: olds.networkFound ?? olds.network,
        ...(olds.appId ? { appId: olds.appId } : {}),
      },
    };
  }

  async delete(_id: string, state: FlyAppState): Promise<void> {
    const app = await lookUp(state);
    if (!app) return;
    requireOurs(app, { ...state, network: state.networkFound ?? state.network, adoptUnowned: false });
    if (state.convex !== undefined && (await isInUseAgain(state.convex, state.name))) return;
    const answer = await flyRest(state.apiUrl, "DELETE", `/apps/${state.name}?force=true`);
    if (answer.status >= 300 && answer.status !== 404) {
      throw flyError("DELETE", `/apps/${state.name}`, answer);
    }
  }
}

export interface FlyAppArgs {
  apiUrl: pulumi.Input<string>;
  name: pulumi.Input<string>;
  organization: pulumi.Input<string>;
  network: pulumi.Input<string>;
  adoptUnowned: pulumi.Input<boolean>;
  convex: pulumi.Input<ConvexAccess>;
}

/** A Fly app. Replaced when its name, organization or network changes. */
export class FlyApp extends pulumi.dynamic.Resource {
  declare readonly name: pulumi.Output<string>;
  declare readonly network: pulumi.Output<string>;
  declare readonly appId: pulumi.Output<string>;

  constructor(name: string, args: FlyAppArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new FlyAppProvider(),
      name,
      { ...args, networkFound: undefined, appId: undefined },
      options,
      "agent-factory",
      "FlyApp",
    );
  }
}
