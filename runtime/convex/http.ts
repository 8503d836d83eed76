/** Routes of the deployment's site URL. Behaviour lives in the rooms. */
import { httpRouter } from "convex/server";
import { registerRoutes } from "./ingress/registerRoutes.ts";

const http = httpRouter();

registerRoutes(http);

export default http;
