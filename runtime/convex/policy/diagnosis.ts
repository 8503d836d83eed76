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
  environment: Record<string, boolean>;
  secrets: Array<{ secretRef: string; active: boolean; problem: string | null; expiresAt: number | null }>;
  alerts: Array<{ kind: string; message: string; since: number }>;
  rollout: { phase: string; revision: number; startedAt: number; gateTimeoutMs: number } | null;
  loop: { nextTickAt: number | null; passSilentMs: number | null; pending: boolean };
  oldestDueMs: number | null;
  deadLetters: number;
  /** Workers that have been booting for longer than they may. */
  bootingTooLong: string[];
  webhooks: Array<{ secretRef: string; drift: string[]; lastErrorMessage: string | null }>;
  /** null: not asked. */
  fly: {
    answers: boolean;
    error: string | null;
    clockSkewMs: number | null;
    image: "present" | "absent" | "unknown";
  } | null;
  image: string | null;
}

const DAY_MS = 86_400_000;
/** A token that ends within this time should be renewed now. */
const TOKEN_EXPIRY_WARNING_MS = 14 * DAY_MS;
const CLOCK_SKEW_MAX_MS = 30_000;
/** A message that has been due for longer than a cold start takes. */
const DUE_TOO_LONG_MS = 10 * 60_000;
const TICK_LATE_MS = 60_000;

const minutes = (ms: number): string => `${Math.round(ms / 60_000)} min`;
const UP = "pulumi up";

/** Commands for the alerts that the scaler raises; others point at the decision log. */
const ALERT_COMMANDS: Record<string, string> = {
  auth: UP,
  not_owned: UP,
  quota: "pulumi config set --path 'agent-factory:policies.scaling.maxWorkers' <n> && pulumi up",
  no_capacity: "pulumi config set --path 'agent-factory:fly.regions[0]' <region> && pulumi up",
  rejected: "npx convex run factory:scalerDecisions '{\"limit\":5}'",
  rollout: "pulumi refresh && pulumi up",
  spend: "pulumi config set --path 'agent-factory:policies.spend.machineHoursPerDayMax' <hours> && pulumi up",
  foreign_machines: "fly machines list",
  config: UP,
};

function secretProblems(facts: DoctorFacts): Problem[] {
  return facts.secrets.flatMap((secret): Problem[] => {
    const { secretRef, expiresAt } = secret;
    if (!secret.active) {
      const message = `The secret '${secretRef}' has no active version.`;
      return [{ kind: "secret_missing", severity: "error", message, command: UP }];
    }
    if (secret.problem !== null) {
      return [{ kind: "secret_wrong", severity: "error", message: secret.problem, command: UP }];
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
  if (!fly.answers) {
    problems.push({
      kind: "fly",
      severity: "error",
      message: `The Fly app cannot be used: ${fly.error ?? "no reason given"}`,
      command: UP,
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
      command: "npx convex run factory:startWorkers",
    });
  }
  if (
    rollout !== null &&
    facts.now - rollout.startedAt > 2 * rollout.gateTimeoutMs &&
    rollout.phase !== "replacing"
  ) {
    problems.push({
      kind: "rollout_stuck",
      severity: "error",
      message: `The rollout of revision ${rollout.revision} has been in phase '${rollout.phase}' since ${new Date(rollout.startedAt).toISOString()}.`,
      command: "npx convex run factory:startWorkers",
    });
  }
  if (facts.oldestDueMs !== null && facts.oldestDueMs > DUE_TOO_LONG_MS) {
    problems.push({
      kind: "waiting",
      severity: "error",
      message: `A message has been due for ${minutes(facts.oldestDueMs)}.`,
      command: "npx convex run factory:scalerDecisions '{\"limit\":10}'",
    });
  }
  for (const workerId of facts.bootingTooLong) {
    problems.push({
      kind: "boot",
      severity: "warning",
      message: `${workerId} does not become ready.`,
      command: `fly logs --machine ${workerId}`,
    });
  }
  if (facts.deadLetters > 0) {
    problems.push({
      kind: "dead_letters",
      severity: "warning",
      message: `${facts.deadLetters} messages were given up.`,
      command: "npx convex run factory:listDeadLetters",
    });
  }
  return problems;
}

/** Every problem, errors first. An environment in order gives an empty list. */
export function diagnose(facts: DoctorFacts): Problem[] {
  if (!facts.configured) {
    const message = "Runtime config has not been applied yet.";
    return [{ kind: "not_configured", severity: "error", message, command: UP }];
  }
  const problems: Problem[] = [];
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
      command: ALERT_COMMANDS[alert.kind] ?? "npx convex run factory:scalerDecisions '{\"limit\":10}'",
    });
  }
  for (const webhook of facts.webhooks) {
    const command = `npx convex run factory:configureTelegramWebhook '{"secretRef":"${webhook.secretRef}"}'`;
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
