/** The client and the document that the API is served with say the same. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ApiDocument, generateApiTypes } from "../testing/apiTypes.ts";
import { type Deployment, startDeployment } from "../testing/deployment.ts";
import { createClient } from "./index.ts";

let deployment: Deployment;
let document: ApiDocument;

beforeAll(async () => {
  deployment = await startDeployment();
  const response = await fetch(`${deployment.siteUrl}/agent-factory/v1/openapi.json`);
  document = (await response.json()) as ApiDocument;
});
afterAll(async () => {
  await deployment.close();
});

test("the committed types are those of the served document", async () => {
  await expect(await generateApiTypes(document)).toMatchFileSnapshot("./api.gen.ts");
});

test("the methods reach every operation of the document, and nothing else, with a key where one is taken", async () => {
  const reached = new Set<string>();
  const keyed = new Set<string>();
  const client = createClient({
    siteUrl: "https://example.test",
    serviceKey: "afk_k_s",
    surroundings: {
      // oxlint-disable-next-line typescript/require-await -- fetch is asynchronous, its stand-in has nothing to await
      fetch: async (input, init) => {
        const path = new URL(input as string).pathname.replace("/agent-factory/v1", "");
        const operation = `${init?.method} ${path.replaceAll(/%7B(\w+)%7D/g, "{$1}")}`;
        reached.add(operation);
        if (new Headers(init?.headers).has("idempotency-key")) keyed.add(operation);
        return Response.json({ status: "done" });
      },
    },
  });
  const schedule = { kind: "manual" } as const;
  await client.enqueue({ conversationId: "c", agentKey: "a", userId: "u", text: "t" });
  await client.getMessage("{messageId}");
  await client.waitForMessage("{messageId}");
  await client.cancelMessage("{messageId}");
  await client.listConversationMessages("{conversationId}");
  await client.listAgents();
  await client.generateMediaUploadUrl();
  await client.createPairingCode({ userId: "u", agentKey: "a" });
  await client.getPairingCodeStatus("code");
  await client.getUserAgentBinding("{userId}");
  await client.bindUserAgent("{userId}", "a");
  await client.revokeUserAgentBinding("{userId}");
  await client.listPushTemplatesByCompany();
  await client.createPushTemplate({ templateKey: "k", title: "t", text: "t", schedule });
  await client.updatePushTemplate("{templateKey}", {});
  await client.deletePushTemplate("{templateKey}");
  await client.createPushJobFromTemplate({ userId: "u", templateKey: "k", timeZone: "UTC" });
  await client.createPushJobCustom({ userId: "u", title: "t", text: "t", schedule, timeZone: "UTC" });
  await client.updatePushJob("{jobId}", {});
  await client.setPushJobEnabled("{jobId}", true);
  await client.deletePushJob("{jobId}");
  await client.listPushJobsForUser("{userId}");
  await client.triggerPushJobNow("{jobId}");
  await client.listPushDispatchesByJob("{jobId}");
  await client.sendBroadcastToAllActiveAgents({ title: "t", text: "t" });
  await client.getBroadcast("{broadcastId}");
  await client.createWebhookEndpoint("https://example.test");
  await client.listWebhookEndpoints();
  await client.deleteWebhookEndpoint("{endpointId}");
  await client.rotateWebhookSecret("{endpointId}");
  await client.listWebhookEvents("{endpointId}");

  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters = [] }]) => ({
      name: `${method.toUpperCase()} ${path}`,
      takesKey: parameters.some(({ name }) => name === "Idempotency-Key"),
    })),
  );
  const named = (operations: typeof documented): string[] => operations.map(({ name }) => name).sort();
  expect([...reached].sort()).toEqual(named(documented));
  expect([...keyed].sort()).toEqual(named(documented.filter(({ takesKey }) => takesKey)));
});
