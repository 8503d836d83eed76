/** The part of Convex's management API that the stack calls, and of a deployment what tells who owns it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Project {
  id: number;
  slug: string;
  name: string;
}

interface Deployment {
  name: string;
  projectId: number;
  reference: string;
  deploymentUrl?: string;
}

export const TEAM_TOKEN = "canary-of-the-team-token";

export class ConvexManagementApi {
  readonly calls: string[] = [];
  readonly projects: Project[] = [];
  deployments: Deployment[] = [];
  /** Environment variables of every deployment, by its name. */
  readonly variables: Record<string, Record<string, string>> = {};
  /** Where new deployments live; by default on this server itself. */
  deploymentUrl: string | null = null;
  /** False: answers carry no `deploymentUrl`, as when the platform leaves it out. */
  tellsUrl = true;
  keysMinted = 0;
  url = "";
  #server: Server | undefined;

  async start(): Promise<this> {
    const server = createServer((request, response) => void this.#serve(request, response));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? "";
    this.calls.push(`${request.method} ${path}`);
    const body =
      chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>) : {};
    const [, name = ""] = /^\/on\/([^/]+)\/api\/v1\/list_environment_variables$/.exec(path) ?? [];
    const authorized =
      name === ""
        ? request.headers.authorization === `Bearer ${TEAM_TOKEN}`
        : request.headers.authorization === `Convex prod:${name}|minted`;
    if (!authorized) return send(response, 401, { message: "no" });
    const answer =
      name === "" ? this.#answer(path, body) : { environmentVariables: this.variables[name] ?? {} };
    send(response, answer === null ? 404 : 200, answer);
  }

  #answer(path: string, body: Record<string, string>): unknown {
    if (path === "/token_details") return { teamId: 7 };
    if (path === "/teams/7/list_projects") return this.projects;
    if (path === "/teams/7/create_project") {
      const name = body["projectName"] ?? "";
      const project = { id: this.projects.length + 1, slug: name.toLowerCase(), name };
      this.projects.push(project);
      return project;
    }
    const [, projectId, verb] = /^\/projects\/(\d+)\/(\w+)$/.exec(path) ?? [];
    if (verb === "list_deployments") {
      return this.deployments.filter((deployment) => deployment.projectId === Number(projectId));
    }
    if (verb === "create_deployment") return this.#createDeployment(Number(projectId), body);
    const [, name = "", action] = /^\/deployments\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    const found = this.deployments.some((deployment) => deployment.name === name);
    if (action === "delete") {
      this.deployments = this.deployments.filter((deployment) => deployment.name !== name);
      return found ? {} : null;
    }
    if (action === "create_deploy_key" && found) {
      this.keysMinted += 1;
      return { deployKey: `prod:${name}|minted` };
    }
    return null;
  }

  #createDeployment(projectId: number, body: Record<string, string>): Deployment {
    const name = `quick-fox-${this.deployments.length + 1}`;
    const deployment: Deployment = {
      name,
      projectId,
      reference: body["reference"] ?? "",
      ...(this.tellsUrl ? { deploymentUrl: this.deploymentUrl ?? `${this.url}/on/${name}` } : {}),
    };
    this.deployments.push(deployment);
    return deployment;
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
