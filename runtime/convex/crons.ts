/** Timers only; behaviour lives in the rooms. Grouped by room. */
import { cronJobs } from "convex/server";
import { internal } from "./_generated/api.js";

const crons = cronJobs();

// ---- queue
crons.interval("sweep the queue", { minutes: 1 }, internal.queue.sweep.sweepQueue, {});
crons.daily("delete what was kept long enough", { hourUTC: 3, minuteUTC: 17 }, internal.queue.retention.prune, {});

// ---- scaler, machines

// ---- ingress, replies, snapshots

// ---- schedules

export default crons;
