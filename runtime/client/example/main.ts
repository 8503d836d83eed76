/** `AGENT_FACTORY_SITE_URL=… AGENT_FACTORY_SERVICE_KEY=… node runtime/client/example/main.ts`, against an embedded environment. */
import { startExample } from "./server.ts";

const { AGENT_FACTORY_SITE_URL: siteUrl, AGENT_FACTORY_SERVICE_KEY: serviceKey } = process.env;
if (siteUrl === undefined || serviceKey === undefined) {
  console.error("Set AGENT_FACTORY_SITE_URL and AGENT_FACTORY_SERVICE_KEY.");
  process.exit(2);
}
const { AGENT_KEY: agentKey = "default", PORT: port = "0" } = process.env;
const server = await startExample({
  siteUrl,
  serviceKey,
  agentKey,
  port: Number(port),
  onEvent: ({ type, data }) => console.info(`${type} in ${data.conversationId}`),
});
console.info(`Chat: curl ${server.url}/chat -d '{"userId":"ada","text":"hello"}'`);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void server.close());
