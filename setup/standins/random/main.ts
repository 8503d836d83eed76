// Stand-in for Pulumi's `random` plugin, used only where the real one cannot be had.
import { serveProvider } from "../provider.ts";
import { randomResources } from "./resources.ts";

await serveProvider({
  name: "random",
  version: "4.21.2",
  resources: randomResources,
  functions: {},
  cancel: () => Promise.resolve(),
});
