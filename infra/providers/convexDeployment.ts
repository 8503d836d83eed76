/**
 * A Convex project and deployment made through the management API. Both are looked up before they are made
 * (project by slug, deployment by reference), so that a run after an interruption makes nothing twice.
 */
import * as pulumi from "@pulumi/pulumi";
import { call, type HttpCall } from "../platform/http.ts";
import { importRefused } from "./importing.ts";

interface DeploymentInputs {
  managementUrl: string;
  projectName: string;
  reference: string;
  type: "prod" | "dev" | "preview";
  region: string | null;
}

interface DeploymentState extends DeploymentInputs {
  projectId: number;
  deploymentName: string;
  url: string;
}

interface ProjectAnswer {
  id: number;
  slug: string;
  name: string;
}

interface DeploymentAnswer {
  name: string;
  reference?: string | null;
  deploymentUrl?: string;
  deploymentType?: string;
}

/** @throws Error that says where to get the token. */
function teamToken(): string {
  const token = process.env["CONVEX_TEAM_TOKEN"]?.trim();
  if (!token) {
    throw new Error(
      "CONVEX_TEAM_TOKEN is not set. Create a team access token in the Convex dashboard (team settings) and export it.",
    );
  }
  return token;
}

async function management<T>(
  inputs: DeploymentInputs,
  method: HttpCall["method"],
  path: string,
  json?: unknown,
): Promise<T | null> {
  const answer = await call({
    method,
    url: `${inputs.managementUrl}${path}`,
    headers: { authorization: `Bearer ${teamToken()}` },
    json,
  });
  if (answer.status === 404) return null;
  if (answer.status === 401 || answer.status === 403) {
    throw new Error(
      `Convex refused CONVEX_TEAM_TOKEN (${answer.status}) for ${method} ${path}. Check that the token belongs to the team and has not expired.`,
    );
  }
  if (answer.status >= 300) {
    throw new Error(`Convex API ${method} ${path} failed: ${answer.status} ${answer.text.slice(0, 300)}`);
  }
  return answer.body as T;
}

/** Slug that the platform derives from a project's name. */
function slugOf(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}

async function ensureProject(inputs: DeploymentInputs): Promise<ProjectAnswer> {
  const details = await management<{ teamId: number }>(inputs, "GET", "/token_details");
  if (!details)
    throw new Error("Convex API GET /token_details failed: 404. Check agent-factory:convex.managementUrl.");
  const list = await management<ProjectAnswer[] | { items: ProjectAnswer[] }>(
    inputs,
    "GET",
    `/teams/${details.teamId}/list_projects`,
  );
  const projects = Array.isArray(list) ? list : (list?.items ?? []);
  const slug = slugOf(inputs.projectName);
  const found = projects.find((project) => project.name === inputs.projectName || project.slug === slug);
  if (found) return found;
  const created = await management<{ id?: number; projectId?: number; slug?: string }>(
    inputs,
    "POST",
    `/teams/${details.teamId}/create_project`,
    { projectName: inputs.projectName },
  );
  const id = created?.id ?? created?.projectId;
  if (id === undefined)
    throw new Error("Convex API create_project answered without an id. Run `pulumi up` again.");
  return { id, slug: created?.slug ?? slug, name: inputs.projectName };
}

async function ensureDeployment(inputs: DeploymentInputs, projectId: number): Promise<DeploymentAnswer> {
  const found = await findDeployment(inputs, projectId);
  if (found) return found;
  const created = await management<DeploymentAnswer>(
    inputs,
    "POST",
    `/projects/${projectId}/create_deployment`,
    {
      type: inputs.type,
      reference: inputs.reference,
      ...(inputs.region === null ? {} : { region: inputs.region }),
    },
  );
  if (!created)
    throw new Error(`Convex project ${projectId} is gone. Run \`pulumi refresh\`, then \`pulumi up\`.`);
  return created;
}

async function findDeployment(
  inputs: DeploymentInputs,
  projectId: number,
): Promise<DeploymentAnswer | undefined> {
  const list = await management<DeploymentAnswer[] | { items: DeploymentAnswer[] }>(
    inputs,
    "GET",
    `/projects/${projectId}/list_deployments`,
  );
  const deployments = Array.isArray(list) ? list : (list?.items ?? []);
  return deployments.find((deployment) => deployment.reference === inputs.reference);
}

export class ConvexDeploymentProvider implements pulumi.dynamic.ResourceProvider<
  DeploymentInputs,
  DeploymentState
> {
  async create(inputs: DeploymentInputs): Promise<pulumi.dynamic.CreateResult<DeploymentState>> {
    const project = await ensureProject(inputs);
    const deployment = await ensureDeployment(inputs, project.id);
    return {
      id: deployment.name,
      outs: {
        ...inputs,
        projectId: project.id,
        deploymentName: deployment.name,
        url: deployment.deploymentUrl ?? `https://${deployment.name}.convex.cloud`,
      },
    };
  }

  async read(id: string, state?: DeploymentState): Promise<pulumi.dynamic.ReadResult<DeploymentState>> {
    if (!state) throw importRefused();
    const found = await findDeployment(state, state.projectId);
    return found ? { id, props: state } : { id: "", props: undefined };
  }

  async diff(_id: string, olds: DeploymentState, news: DeploymentInputs): Promise<pulumi.dynamic.DiffResult> {
    const replaces = (["projectName", "reference", "type", "region"] as const).filter(
      (key) => olds[key] !== news[key],
    );
    return { changes: replaces.length > 0 || olds.managementUrl !== news.managementUrl, replaces };
  }

  async update(
    _id: string,
    olds: DeploymentState,
    news: DeploymentInputs,
  ): Promise<pulumi.dynamic.UpdateResult<DeploymentState>> {
    return { outs: { ...olds, ...news } };
  }

  /** The project stays: it may hold other deployments. */
  async delete(id: string, state: DeploymentState): Promise<void> {
    await management(state, "POST", `/deployments/${id}/delete`, {});
  }
}

export interface ConvexDeploymentArgs {
  managementUrl: pulumi.Input<string>;
  projectName: pulumi.Input<string>;
  reference: pulumi.Input<string>;
  type: pulumi.Input<"prod" | "dev" | "preview">;
  region: pulumi.Input<string | null>;
}

/** A Convex deployment made by the stack. */
export class ConvexDeployment extends pulumi.dynamic.Resource {
  declare readonly deploymentName: pulumi.Output<string>;
  declare readonly url: pulumi.Output<string>;

  constructor(name: string, args: ConvexDeploymentArgs, options?: pulumi.CustomResourceOptions) {
    super(
      new ConvexDeploymentProvider(),
      name,
      { ...args, projectId: undefined, deploymentName: undefined, url: undefined },
      options,
      "agent-factory",
      "ConvexDeployment",
    );
  }
}
