/** Timers only; behaviour lives in the rooms. Grouped by room. */
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api.js";

const crons = cronJobs();

// ---- queue
crons.interval("sweep the queue", { minutes: 1 }, internal.queue.sweep.sweepQueue, {});
crons.daily(
  "delete what was kept long enough",
  { hourUTC: 3, minuteUTC: 17 },
  internal.queue.retention.prune,
  {},
);

// ---- secrets
crons.daily(
  "bring secrets to the active key",
  { hourUTC: 4, minuteUTC: 27 },
  internal.secrets.rewrap.rewrapSecrets,
  { actor: "nightly" },
);

// ---- scaler, machines
crons.interval("reconcile fallback", { minutes: 5 }, internal.scaler.loop.fallback, {});
crons.daily("destroy orphan machines", { hourUTC: 4, minuteUTC: 7 }, internal.scaler.cleanup.runFlyCleanup, {
  actor: "nightly",
});

// ---- ingress, replies, snapshots
crons.hourly("forget Telegram update ids", { minuteUTC: 11 }, internal.ingress.prune.pruneIngress, {});
crons.interval("take up lost lanes", { minutes: 5 }, internal.replies.sweep.sweepLanes, {});
crons.daily(
  "delete old deliveries",
  { hourUTC: 3, minuteUTC: 27 },
  internal.replies.deliveries.pruneOutbox,
  {},
);

crons.daily(
  "collect abandoned snapshots",
  { hourUTC: 3, minuteUTC: 57 },
  internal.snapshots.collect.collect,
  {},
);

// ---- schedules
crons.cron("dispatch due push jobs", "0 * * * *", internal.schedules.dispatch.dispatchDuePushJobs, {});
crons.hourly(
  "take up interrupted broadcasts",
  { minuteUTC: 23 },
  internal.schedules.broadcast.sweepBroadcasts,
  {},
);
crons.daily(
  "delete old push dispatches",
  { hourUTC: 3, minuteUTC: 37 },
  internal.schedules.prune.pruneDispatches,
  {},
);

// ---- consumer API
crons.interval("take up lost webhook events", { minutes: 5 }, internal.api.events.sweepEvents, {});
crons.daily(
  "delete settled webhook events",
  { hourUTC: 3, minuteUTC: 47 },
  internal.api.events.pruneEvents,
  {},
);

export default crons;
