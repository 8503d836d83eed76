/** Routes of the deployment's site URL. Behaviour lives in the rooms. */
import { httpRouter } from "convex/server";
import { registerApi } from "./api/handle.ts";
import { registerRoutes } from "./ingress/registerRoutes.ts";

const http = httpRouter();

registerRoutes(http);
registerApi(http);

export default http;
