/** What doctor says about known facts: each problem in one line, with the command that mends it. */

export interface Problem {
  kind: string;
  /** error: messages are not answered, or soon will not be. warning: look at it when you can. */
  severity: "error" | "warning";
  message: string;
  command: string;
}

export interface DoctorFacts {
  now: number;
  configured: boolean;
  retired: boolean;
  environment: Record<string, boolean>;
  secrets: Array<{ secretRef: string; active: boolean; problem: string | null; expiresAt: number | null }>;
  alerts: Array<{ kind: string; message: string; since: number }>;
  rollout: {
    phase: string;
    revision: number;
    startedAt: number;
    phaseAt: number;
    gateTimeoutMs: number;
  } | null;
  loop: { nextTickAt: number | null; passSilentMs: number | null; pending: boolean };
  oldestDueMs: number | null;
  deadLetters: number;
  /** Workers that have been booting for longer than they may. */
  bootingTooLong: Array<{ workerId: string; machineId: string | null }>;
  webhooks: Array<{ secretRef: string; drift: string[]; lastErrorMessage: string | null }>;
  /** null: not asked. */
  fly: {
    /** Why the app cannot be used; null: it can. */
    error: string | null;
    /** Because the token is not accepted. */
    refused: boolean;
    tokenScope:
      { kind: "app"; apps: string[] } | { kind: "organization"; slug: string } | { kind: "unknown" };
    clockSkewMs: number | null;
    image: "present" | "absent" | "unknown";
  } | null;
  appName: string;
  image: string | null;
}

const DAY_MS = 86_400_000;
/** A token that ends within this time should be renewed now. */
const TOKEN_EXPIRY_WARNING_MS = 14 * DAY_MS;
const CLOCK_SKEW_MAX_MS = 30_000;
/** A message that has been due for longer than a cold start takes. */
const DUE_TOO_LONG_MS = 10 * 60_000;
const TICK_LATE_MS = 60_000;
/** A worker is replaced after its running turns, half an hour each at most. */
const REPLACING_TOO_LONG_MS = 60 * 60_000;

const minutes = (ms: number): string => `${Math.round(ms / 60_000)} min`;
const UP = "pulumi up";
const CLI = "npm run factory --";
/** Notices what is gone or was changed elsewhere, and writes it anew. */
const REFRESH_AND_UP = "pulumi refresh && pulumi up";
/** The token's value is in no state: only a new one can take its place. */
const NEW_TOKEN = `pulumi up --replace "$(pulumi stack --show-urns | grep -o 'urn:.*::fly-token')"`;
const DECISIONS = `${CLI} workers decisions --limit 10`;

/** Commands for the alerts that the scaler raises; others point at the decision log. */
const ALERT_COMMANDS: Record<string, string> = {
  auth: NEW_TOKEN,
  not_owned: UP,
  quota: "pulumi config set --path 'agent-factory:policies.scaling.maxWorkers' <n> && pulumi up",
  no_capacity: "pulumi config set --path 'agent-factory:fly.regions[0]' <region> && pulumi up",
  rejected: DECISIONS,
  rollout: REFRESH_AND_UP,
  spend: "pulumi config set --path 'agent-factory:policies.spend.machineHoursPerDayMax' <hours> && pulumi up",
  foreign_machines: "fly machines list",
  config: UP,
};

/** What brings a missing or wrong secret right. */
function secretCommand(secretRef: string): string {
  if (secretRef === "fly.apiToken") return NEW_TOKEN;
  return secretRef === "convex.url" ? REFRESH_AND_UP : `${CLI} secrets set ${secretRef}`;
}

/** What points a bot's webhook at this deployment; the shared bot is named by no agent. */
function connectCommand(secretRef: string): string {
  const agentKey = secretRef.replace(/^telegram\.botToken\.?/, "");
  return `${CLI} telegram connect${agentKey === "" || agentKey === "default" ? "" : ` ${agentKey}`}`;
}

function secretProblems(facts: DoctorFacts): Problem[] {
  return facts.secrets.flatMap((secret): Problem[] => {
    const { secretRef, expiresAt } = secret;
    if (!secret.active) {
      const message = `The secret '${secretRef}' has no active version.`;
      return [{ kind: "secret_missing", severity: "error", message, command: secretCommand(secretRef) }];
    }
    if (secret.problem !== null) {
      return [
        {
          kind: "secret_wrong",
          severity: "error",
          message: secret.problem,
          command: secretCommand(secretRef),
        },
      ];
    }
    if (expiresAt === null || expiresAt - facts.now > TOKEN_EXPIRY_WARNING_MS) return [];
    const ends = new Date(expiresAt).toISOString();
    const over = expiresAt <= facts.now;
    const message = `'${secretRef}' ${over ? "expired" : "expires"} at ${ends}.`;
    return [{ kind: "token_expiry", severity: over ? "error" : "warning", message, command: UP }];
  });
}

function flyProblems(facts: DoctorFacts): Problem[] {
  const { fly } = facts;
  if (fly === null) return [];
  const problems: Problem[] = [];
  if (fly.error !== null) {
    problems.push({
      kind: "fly",
      severity: "error",
      message: `The Fly app cannot be used: ${fly.error}`,
      command: fly.refused ? NEW_TOKEN : UP,
    });
  }
  const { tokenScope } = fly;
  if (tokenScope.kind === "app" && !tokenScope.apps.includes(facts.appName)) {
    problems.push({
      kind: "token_scope",
      severity: "error",
      message: `'fly.apiToken' is for the app ${tokenScope.apps.join(", ")}, not for ${facts.appName}.`,
      command: NEW_TOKEN,
    });
  }
  if (tokenScope.kind === "organization") {
    problems.push({
      kind: "token_scope",
      severity: "warning",
      message: `'fly.apiToken' reaches the whole organization '${tokenScope.slug}'; one for the app ${facts.appName} alone is enough.`,
      command: NEW_TOKEN,
    });
  }
  if (fly.image === "absent") {
    problems.push({
      kind: "image_absent",
      severity: "error",
      message: `The image ${facts.image ?? ""} is not in its registry: no machine can start.`,
      command: UP,
    });
  }
  if (fly.clockSkewMs !== null && Math.abs(fly.clockSkewMs) > CLOCK_SKEW_MAX_MS) {
    problems.push({
      kind: "clock_skew",
      severity: "warning",
      message: `The backend's clock differs from Fly's by ${Math.round(fly.clockSkewMs / 1_000)} s. Only backend time counts, but times in logs will not match.`,
      command: "timedatectl status",
    });
  }
  return problems;
}

function loopProblems(facts: DoctorFacts): Problem[] {
  const problems: Problem[] = [];
  const { loop, rollout } = facts;
  const late = loop.nextTickAt !== null && facts.now - loop.nextTickAt > TICK_LATE_MS;
  if (late || (loop.pending && loop.nextTickAt === null && loop.passSilentMs === null)) {
    const message = late
      ? `The scaler's next tick is ${minutes(facts.now - (loop.nextTickAt ?? 0))} late.`
      : "Messages wait and no tick of the scaler is scheduled.";
    problems.push({
      kind: "loop",
      severity: "error",
      message,
      command: `${CLI} workers reconcile`,
    });
  }
  const replacing = rollout?.phase === "replacing";
  const stuckAfterMs = replacing ? REPLACING_TOO_LONG_MS : 2 * (rollout?.gateTimeoutMs ?? 0);
  const since = (replacing ? rollout.phaseAt : rollout?.startedAt) ?? 0;
  if (rollout !== null && facts.now - since > stuckAfterMs) {
    problems.push({
      kind: "rollout_stuck",
      severity: "error",
      message: `The rollout of revision ${rollout.revision} has been in phase '${rollout.phase}' since ${new Date(rollout.phaseAt).toISOString()}.`,
      command: `${CLI} workers reconcile`,
    });
  }
  if (facts.oldestDueMs !== null && facts.oldestDueMs > DUE_TOO_LONG_MS) {
    problems.push({
      kind: "waiting",
      severity: "error",
      message: `A message has been due for ${minutes(facts.oldestDueMs)}.`,
      command: DECISIONS,
    });
  }
  for (const { workerId, machineId } of facts.bootingTooLong) {
    problems.push({
      kind: "boot",
      severity: "warning",
      message: `${workerId} does not become ready.`,
      command:
        machineId === null ? DECISIONS : `fly logs --app ${facts.appName} --machine ${machineId} --no-tail`,
    });
  }
  if (facts.deadLetters > 0) {
    problems.push({
      kind: "dead_letters",
      severity: "warning",
      message: `${facts.deadLetters} messages were given up.`,
      command: `${CLI} dead-letters list`,
    });
  }
  return problems;
}

function alertCommand(kind: string, appName: string): string {
  // The machines are gone by then; the app's log still has what they said.
  if (kind === "boot") return `fly logs --app ${appName} --no-tail`;
  return ALERT_COMMANDS[kind] ?? DECISIONS;
}

/** Every problem, errors first. An environment in order gives an empty list. */
export function diagnose(facts: DoctorFacts): Problem[] {
  if (!facts.configured) {
    const message = "Runtime config has not been applied yet.";
    return [{ kind: "not_configured", severity: "error", message, command: UP }];
  }
  const problems: Problem[] = [];
  if (facts.retired) {
    const message = "The stack was being destroyed: workers end and none is started.";
    problems.push({ kind: "retired", severity: "error", message, command: UP });
  }
  for (const [name, present] of Object.entries(facts.environment)) {
    if (present) continue;
    problems.push({
      kind: "environment",
      severity: "error",
      message: `${name} is not set on the deployment.`,
      command: UP,
    });
  }
  problems.push(...secretProblems(facts), ...flyProblems(facts), ...loopProblems(facts));
  for (const alert of facts.alerts) {
    problems.push({
      kind: alert.kind,
      severity: alert.kind === "foreign_machines" ? "warning" : "error",
      message: `${alert.message} (since ${new Date(alert.since).toISOString()})`,
      command: alertCommand(alert.kind, facts.appName),
    });
  }
  for (const webhook of facts.webhooks) {
    const command = connectCommand(webhook.secretRef);
    for (const drift of webhook.drift) {
      problems.push({
        kind: "webhook",
        severity: "error",
        message: `${webhook.secretRef}: ${drift}`,
        command,
      });
    }
    if (webhook.drift.length === 0 && webhook.lastErrorMessage !== null) {
      const message = `${webhook.secretRef}: Telegram's last delivery failed: ${webhook.lastErrorMessage}`;
      problems.push({ kind: "webhook_delivery", severity: "warning", message, command: "npx convex logs" });
    }
  }
  return problems.sort((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
}
