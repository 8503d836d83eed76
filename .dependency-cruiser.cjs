// The one-way flow of design.md as import rules: each folder knows the stage it feeds, never the one before it.

/** The stages in the order in which a message passes them. */
const stages = ["ingress", "queue", "scaler", "machines", "replies"];
/** What every stage may use and what therefore knows no stage. */
const foundations = ["audit", "config", "files", "identity", "secrets"];
/** Surfaces only mount and re-export; behaviour lives below them. */
const surfaces = "^runtime/convex/(factory|worker|http|crons)\\.ts$";

/** A test, or what only tests use, may reach anywhere. */
const tests = "(\\.test\\.ts$|/testing/|^tests/|^setup/fixtures/)";

/** @param {readonly string[]} folders */
const convexFolders = (folders) => `^runtime/convex/(${folders.join("|")})/`;

const stageRules = stages.slice(1).map((stage, index) => {
  const earlier = stages.slice(0, index + 1);
  return {
    name: `${stage}-never-looks-back`,
    comment: `Data flows ${stages.join(" → ")}: ${stage} must not import ${earlier.join(" or ")}.`,
    severity: "error",
    from: { path: convexFolders([stage]), pathNot: tests },
    to: { path: convexFolders(earlier) },
  };
});

module.exports = {
  forbidden: [
    {
      name: "no-circular",
      comment: "Two files that need each other are one rule without a home: extract it.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "resolvable",
      comment: "The import leads nowhere: misspelt, or the package is not in package.json.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "_generated" },
    },
    ...stageRules,
    {
      name: "foundations-know-no-stage",
      comment: `${foundations.join(", ")} serve every stage and import none, but for the one call by which an applied config starts its rollout in the same transaction.`,
      severity: "error",
      from: { path: convexFolders(foundations), pathNot: [tests, "^runtime/convex/config/apply\\.ts$"] },
      to: { path: convexFolders([...stages, "hydration", "snapshots", "schedules"]) },
    },
    {
      name: "worker-side-stages",
      comment: "hydration and snapshots answer a lease holder: they know the queue, no other stage.",
      severity: "error",
      from: { path: convexFolders(["hydration", "snapshots"]), pathNot: tests },
      to: { path: convexFolders(["ingress", "scaler", "machines", "replies"]) },
    },
    {
      name: "policy-is-pure",
      comment:
        "A policy decides from its arguments alone: it may import policies, validators, errors and pure libraries, nothing that reads a clock, a database or the network.",
      severity: "error",
      from: { path: "^runtime/convex/policy/", pathNot: tests },
      to: {
        pathNot:
          "^(runtime/convex/(policy/|validators\\.ts$|errors\\.ts$)|node_modules/(convex/.*/values|temporal-polyfill|zod)/)",
      },
    },
    {
      name: "surfaces-are-the-outermost",
      comment: "factory, worker, http and crons only mount and re-export: nothing imports them.",
      severity: "error",
      from: { pathNot: `(${tests}|_generated)` },
      to: { path: surfaces },
    },
    {
      name: "worker-knows-the-contract-only",
      comment: "The worker imports the backend's validators and generated types, nothing else of it.",
      severity: "error",
      from: { path: "^runtime/(worker|client)/", pathNot: tests },
      to: { path: "^runtime/convex/", pathNot: "^runtime/convex/(validators\\.ts$|_generated/)" },
    },
    {
      name: "infra-knows-the-config-shape-only",
      comment: "The Pulumi program imports nothing of runtime but the shape of the row it writes.",
      severity: "error",
      from: { path: "^infra/", pathNot: tests },
      to: { path: "^runtime/", pathNot: "^runtime/convex/policy/runtimeConfig\\.ts$" },
    },
    {
      name: "runtime-knows-no-infrastructure",
      comment: "What is deployed does not import what deploys it.",
      severity: "error",
      from: { path: "^runtime/", pathNot: tests },
      to: { path: "^(infra|setup|tests)/" },
    },
    {
      name: "local-is-reached-by-url",
      comment: "Production code does not know that the embedded cloud exists.",
      severity: "error",
      from: { path: "^(infra|runtime)/", pathNot: tests },
      to: { path: "^local/" },
    },
    {
      name: "tests-are-imported-by-tests",
      comment: "Production code must not depend on a test or its helpers.",
      severity: "error",
      from: { pathNot: tests },
      to: { path: tests, pathNot: "^node_modules/" },
    },
  ],
  options: {
    doNotFollow: { path: ["node_modules", "runtime/convex/_generated"] },
    exclude: { path: ["(^|/)dist/", "^\\.local/"] },
    moduleSystems: ["es6", "cjs"],
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
      extensions: [".ts", ".mjs", ".js", ".cjs", ".d.ts", ".json"],
    },
    reporterOptions: { text: { highlightFocused: true } },
  },
};
