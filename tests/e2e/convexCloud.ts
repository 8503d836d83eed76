/**
 * Convex Cloud as a stack in mode `provisioned` meets it: the management API (projects, deployments, deploy keys), what
 * the CLI asks it with a deploy key, and a front door of the one deployment that it can hand out, which is an embedded
 * one. The door takes deploy keys that were minted here and nothing else.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer, json } from "node:stream/consumers";
import { brotliDecompressSync } from "node:zlib";
import { forward } from "./forward.ts";

interface Deployment {
  name: string;
  projectId: number;
  reference: string;
  deploymentType: string;
  region: string | null;
  deploymentUrl: string;
}

const TEAM = { id: 7, slug: "embedded" };

export class ConvexCloud {
  readonly teamToken = `team-${randomBytes(16).toString("hex")}`;
  readonly projects: Array<{ id: number; slug: string; name: string }> = [];
  deployments: Deployment[] = [];
  /** Paths that were asked for and are not served: none, unless the tools ask for something new. */
  readonly unknown: string[] = [];
  /** Set these in the environment of `pulumi`: the team's token, and where the CLI finds Convex Cloud. */
  env: Record<string, string> = {};
  managementUrl = "";
  readonly #keys = new Map<string, string>();
  readonly #servers: Server[] = [];
  #door = "";

  /** @param embedded the deployment behind the front door. */
  async start(embedded: { url: string; adminKeyFile: string }): Promise<void> {
    const admin = readFileSync(embedded.adminKeyFile, "utf8").trim();
    this.#door = await this.#listen((incoming, outgoing) =>
      this.#enter(embedded.url, admin, incoming, outgoing),
    );
    const management = await this.#listen((incoming, outgoing) => this.#manage(incoming, outgoing));
    this.managementUrl = `${management}/v1`;
    this.env = { CONVEX_TEAM_TOKEN: this.teamToken, CONVEX_PROVISION_HOST: management };
  }

  async stop(): Promise<void> {
    await Promise.all(
      this.#servers.map(async (server) => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      }),
    );
  }

  /** A deploy key of the deployment with that reference, as somebody makes one in the dashboard. */
  deployKey(reference: string): string {
    const deployment = this.deployments.find((candidate) => candidate.reference === reference);
    if (!deployment) throw new Error(`there is no deployment '${reference}'`);
    const key = `prod:${deployment.name}|${randomBytes(24).toString("hex")}`;
    this.#keys.set(key, deployment.name);
    return key;
  }

  async #listen(
    serve: (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void>,
  ): Promise<string> {
    const server = createServer((incoming, outgoing) => {
      serve(incoming, outgoing).catch(() => incoming.socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#servers.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  async #manage(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const path = incoming.url ?? "/";
    const body = incoming.method === "POST" ? ((await json(incoming)) as Record<string, string>) : {};
    const answer = (status: number, value: unknown): void => {
      outgoing.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (path.startsWith("/api/")) return answer(...this.#forTheCli(path, body));
    if (incoming.headers.authorization !== `Bearer ${this.teamToken}`) {
      return answer(401, { code: "Unauthorized", message: "Invalid team access token" });
    }
    const found = this.#management(path.replace(/^\/v1/, ""), body);
    answer(found === null ? 404 : 200, found ?? { code: "NotFound", message: `no ${path}` });
  }

  /** What the CLI asks when it is given a deploy key. */
  #forTheCli(path: string, body: Record<string, string>): [number, unknown] {
    const name = this.#keys.get(body["deployKey"] ?? "");
    const deployment = this.deployments.find((candidate) => candidate.name === name);
    if (!deployment) return [401, { code: "Unauthorized", message: "Invalid deploy key" }];
    if (path === "/api/deployment/url_for_key") return [200, deployment.deploymentUrl];
    if (path === "/api/deployment/team_and_project_for_key") {
      const project = this.projects.find(({ id }) => id === deployment.projectId);
      return [
        200,
        {
          team: TEAM.slug,
          teamId: TEAM.id,
          project: project?.slug,
          projectId: project?.id,
          reference: deployment.reference,
          isDefault: false,
        },
      ];
    }
    this.unknown.push(path);
    return [404, { code: "NotFound", message: `no ${path}` }];
  }

  #management(path: string, body: Record<string, string>): unknown {
    if (path === "/token_details") return { teamId: TEAM.id };
    if (path === `/teams/${TEAM.id}/list_projects`) return this.projects;
    if (path === `/teams/${TEAM.id}/create_project`) {
      const name = body["projectName"] ?? "";
      const project = { id: this.projects.length + 1, slug: name.toLowerCase(), name };
      this.projects.push(project);
      return { projectId: project.id, slug: project.slug };
    }
    const [, projectId, ofProject] = /^\/projects\/(\d+)\/(\w+)$/.exec(path) ?? [];
    if (ofProject === "list_deployments") {
      return this.deployments.filter((deployment) => deployment.projectId === Number(projectId));
    }
    if (ofProject === "create_deployment") {
      const deployment = {
        name: `quick-fox-${this.deployments.length + 1}`,
        projectId: Number(projectId),
        reference: body["reference"] ?? "",
        deploymentType: body["type"] ?? "",
        region: body["region"] ?? null,
        deploymentUrl: this.#door,
      };
      this.deployments.push(deployment);
      return deployment;
    }
    const [, name = "", ofDeployment] = /^\/deployments\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    if (!this.deployments.some((deployment) => deployment.name === name)) return null;
    if (ofDeployment === "create_deploy_key") {
      const { reference } = this.deployments.find((deployment) => deployment.name === name) ?? {
        reference: "",
      };
      return { deployKey: this.deployKey(reference) };
    }
    if (ofDeployment === "delete_deploy_key") return this.#keys.delete(body["id"] ?? "") ? {} : null;
    if (ofDeployment === "delete") {
      this.deployments = this.deployments.filter((deployment) => deployment.name !== name);
      return {};
    }
    this.unknown.push(path);
    return null;
  }

  /** The deployment's own API: its key is exchanged for the embedded one's, in headers and bodies. */
  async #enter(
    origin: string,
    admin: string,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const sent = await buffer(incoming);
    const compressed = incoming.headers["content-encoding"] === "br";
    const text = (compressed ? brotliDecompressSync(sent) : sent).toString("utf8");
    const key =
      incoming.headers.authorization?.replace(/^Convex /, "") ?? /"(prod:[^"]+\|[0-9a-f]+)"/.exec(text)?.[1];
    const name = this.#keys.get(key ?? "");
    if (key === undefined || !this.deployments.some((deployment) => deployment.name === name)) {
      outgoing.writeHead(403, { "content-type": "application/json" });
      outgoing.end(JSON.stringify({ code: "BadDeployKey", message: "The provided deploy key was invalid" }));
      return;
    }
    const headers = { ...incoming.headers };
    delete headers["content-encoding"];
    if (headers.authorization) headers.authorization = `Convex ${admin}`;
    const { method, url } = incoming;
    const answer = await forward(origin, { method, url, headers }, text.replaceAll(key, admin));
    outgoing.writeHead(answer.status, answer.headers).end(answer.body);
  }
}
