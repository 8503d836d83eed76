import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { convexAdminKey } from "../platform/convexApi.ts";
import { ConvexDeploymentProvider } from "./convexDeployment.ts";

interface Project {
  id: number;
  slug: string;
  name: string;
}
interface Deployment {
  name: string;
  projectId: number;
  reference: string;
}

/** The part of the management API that the provider calls; every call is noted. */
class Management {
  readonly calls: string[] = [];
  readonly projects: Project[] = [];
  deployments: Deployment[] = [];
  /** The next answer to a matching call is lost after it was carried out. */
  loseAnswerOf: string | null = null;
  #server: Server | undefined;

  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const path = request.url ?? "";
        this.calls.push(`${request.method} ${path}`);
        const body =
          chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>) : {};
        if (request.headers.authorization !== "Bearer team-token") {
          response.writeHead(401, { "content-type": "application/json" }).end('{"message":"no"}');
          return;
        }
        const answer = this.#answer(path, body);
        if (this.loseAnswerOf !== null && path.endsWith(this.loseAnswerOf)) {
          this.loseAnswerOf = null;
          request.socket.destroy();
          return;
        }
        response
          .writeHead(answer === null ? 404 : 200, { "content-type": "application/json" })
          .end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
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
    if (verb === "create_deployment") {
      const deployment = {
        name: `quick-fox-${this.deployments.length + 1}`,
        projectId: Number(projectId),
        reference: body["reference"] ?? "",
      };
      this.deployments.push(deployment);
      return deployment;
    }
    const [, name, action] = /^\/deployments\/([^/]+)\/(\w+)$/.exec(path) ?? [];
    if (action === "delete") {
      const found = this.deployments.some((deployment) => deployment.name === name);
      this.deployments = this.deployments.filter((deployment) => deployment.name !== name);
      return found ? {} : null;
    }
    if (action === "create_deploy_key") return { deployKey: `prod:${name}|minted` };
    return null;
  }
}

let management: Management;
let managementUrl: string;
const provider = new ConvexDeploymentProvider();
const inputs = () => ({
  managementUrl,
  projectName: "Agents",
  reference: "staging",
  type: "prod" as const,
  region: null,
});

beforeEach(async () => {
  management = new Management();
  managementUrl = await management.start();
  process.env["CONVEX_TEAM_TOKEN"] = "team-token";
});
afterEach(async () => {
  delete process.env["CONVEX_TEAM_TOKEN"];
  await management.stop();
});

describe("a provisioned Convex deployment", () => {
  it("makes a project and a deployment, and nothing twice on a re-run", async () => {
    const first = await provider.create(inputs());
    expect(first).toMatchObject({ id: "quick-fox-1", outs: { url: "https://quick-fox-1.convex.cloud" } });
    const second = await provider.create(inputs());
    expect(second.id).toBe(first.id);
    expect([management.projects.length, management.deployments.length]).toEqual([1, 1]);
  });

  it.each(["create_project", "create_deployment"])(
    "converges when the answer to %s is lost",
    async (call) => {
      management.loseAnswerOf = call;
      await expect(provider.create(inputs())).rejects.toThrow("no answer");
      await expect(provider.create(inputs())).resolves.toMatchObject({ id: "quick-fox-1" });
      expect([management.projects.length, management.deployments.length]).toEqual([1, 1]);
    },
  );

  it("keeps environments of one project apart by their reference", async () => {
    await provider.create(inputs());
    const other = await provider.create({ ...inputs(), reference: "pr-123" });
    expect(other.id).toBe("quick-fox-2");
  });

  it("is missing after somebody deleted it, and its own deletion tolerates that", async () => {
    const { id, outs } = await provider.create(inputs());
    if (!outs) throw new Error("no state");
    expect((await provider.read(id, outs)).id).toBe(id);
    await provider.delete(id, outs);
    expect((await provider.read(id, outs)).id).toBe("");
    await expect(provider.delete(id, outs)).resolves.toBeUndefined();
  });

  it("says which token is missing or refused", async () => {
    process.env["CONVEX_TEAM_TOKEN"] = "expired";
    await expect(provider.create(inputs())).rejects.toThrow("Convex refused CONVEX_TEAM_TOKEN (401)");
    delete process.env["CONVEX_TEAM_TOKEN"];
    await expect(provider.create(inputs())).rejects.toThrow("CONVEX_TEAM_TOKEN is not set");
  });
});

describe("the admin key of a deployment", () => {
  it("is minted when it is needed, and never kept", async () => {
    const access = {
      mode: "provisioned" as const,
      url: "https://quick-fox-1.convex.cloud",
      managementUrl,
      deploymentName: "quick-fox-1",
    };
    expect(await convexAdminKey(access)).toBe("prod:quick-fox-1|minted");
    expect(JSON.stringify(access)).not.toContain("minted");
  });

  it("names the variable that an existing or a self-hosted deployment needs", async () => {
    await expect(convexAdminKey({ mode: "existing", url: "https://x.convex.cloud" })).rejects.toThrow(
      "CONVEX_DEPLOY_KEY is not set",
    );
    await expect(convexAdminKey({ mode: "selfHosted", url: "http://127.0.0.1:1" })).rejects.toThrow(
      "CONVEX_SELF_HOSTED_ADMIN_KEY is not set",
    );
  });
});
