/**
 * A Convex project and deployment made through the management API. Both are looked up before they are made
 * (project by slug, deployment by reference), so that a run after an interruption makes nothing twice.
 */
import * as pulumi from "@pulumi/pulumi";
import { listEnvironmentVariables } from "../platform/convexApi.ts";
import { forgetAdminKey } from "../platform/convexKey.ts";
import { convexManagement as management } from "../platform/convexManagement.ts";
import { unlessDeploymentGone } from "./convexPlace.ts";
import { requireOwnDeployment } from "./deploymentOwner.ts";
import { importRefused } from "./importing.ts";

interface DeploymentInputs {
  managementUrl: string;
  projectName: string;
  reference: string;
  type: "prod" | "dev" | "preview";
  region: string | null;
  /** Identity of the stack: a deployment that another one has claimed is neither adopted nor deleted. */
  owner: string;
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

/** Slug that the platform derives from a project's name. */
function slugOf(name: string): string {
  return name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
}

async function ensureProject(inputs: DeploymentInputs): Promise<ProjectAnswer> {
  const details = await management<{ teamId: number }>(inputs.managementUrl, "GET", "/token_details");
  if (!details)
    throw new Error("Convex API GET /token_details failed: 404. Check agent-factory:convex.managementUrl.");
  const list = await management<ProjectAnswer[] | { items: ProjectAnswer[] }>(
    inputs.managementUrl,
    "GET",
    `/teams/${details.teamId}/list_projects`,
  );
  const projects = Array.isArray(list) ? list : (list?.items ?? []);
  const slug = slugOf(inputs.projectName);
  const found = projects.find((project) => project.name === inputs.projectName || project.slug === slug);
  if (found) return found;
  const created = await management<{ id?: number; projectId?: number; slug?: string }>(
    inputs.managementUrl,
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
  if (found) {
    // Ours from an `up` that was cut off, or somebody's under the same reference: the claim tells.
    await requireUnclaimed(inputs, found.name, urlOf(found));
    return found;
  }
  const created = await management<DeploymentAnswer>(
    inputs.managementUrl,
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
    inputs.managementUrl,
    "GET",
    `/projects/${projectId}/list_deployments`,
  );
  const deployments = Array.isArray(list) ? list : (list?.items ?? []);
  return deployments.find((deployment) => deployment.reference === inputs.reference);
}

function urlOf(deployment: DeploymentAnswer): string {
  return deployment.deploymentUrl ?? `https://${deployment.name}.convex.cloud`;
}

/** @throws Error when another stack's claim is on the deployment: its data is not ours to use or to delete. */
async function requireUnclaimed(inputs: DeploymentInputs, name: string, url: string): Promise<void> {
  const access = {
    mode: "provisioned" as const,
    url,
    managementUrl: inputs.managementUrl,
    deploymentName: name,
  };
  const variables = await unlessDeploymentGone<Record<string, string>>(listEnvironmentVariables(access), {});
  requireOwnDeployment(variables, url, inputs.owner);
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
        url: urlOf(deployment),
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
    const noted = (["managementUrl", "owner"] as const).some((key) => olds[key] !== news[key]);
    return { changes: replaces.length > 0 || noted, replaces };
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
    await requireUnclaimed(state, id, state.url);
    await management(state.managementUrl, "POST", `/deployments/${id}/delete`, {});
    forgetAdminKey({ managementUrl: state.managementUrl, deploymentName: id });
  }
}

export interface ConvexDeploymentArgs {
  managementUrl: pulumi.Input<string>;
  projectName: pulumi.Input<string>;
  reference: pulumi.Input<string>;
  type: pulumi.Input<"prod" | "dev" | "preview">;
  region: pulumi.Input<string | null>;
  owner: pulumi.Input<string>;
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
