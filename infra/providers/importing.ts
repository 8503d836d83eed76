/** `pulumi import` gives a provider an id and nothing else; our resources need to know where they live. */
export function importRefused(): Error {
  return new Error(
    "`pulumi import` cannot tell this resource where it lives. An existing Fly app is taken over with agent-factory:fly.appName and agent-factory:fly.adoptUnowned, an existing Convex deployment with agent-factory:convex.mode 'existing'; then run `pulumi up`.",
  );
}
