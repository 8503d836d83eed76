/**
 * All tables, one import per room. Each room's `tables.ts` says who writes and who deletes each table.
 */
import { defineSchema } from "convex/server";
import { apiTables } from "./api/tables.ts";
import { auditTables } from "./audit/tables.ts";
import { configTables } from "./config/tables.ts";
import { fileTables } from "./files/tables.ts";
import { hydrationTables } from "./hydration/tables.ts";
import { identityTables } from "./identity/tables.ts";
import { ingressTables } from "./ingress/tables.ts";
import { machineTables } from "./machines/tables.ts";
import { queueTables } from "./queue/tables.ts";
import { replyTables } from "./replies/tables.ts";
import { scalerTables } from "./scaler/tables.ts";
import { scheduleTables } from "./schedules/tables.ts";
import { secretTables } from "./secrets/tables.ts";
import { snapshotTables } from "./snapshots/tables.ts";

export default defineSchema({
  ...configTables,
  ...secretTables,
  ...identityTables,
  ...ingressTables,
  ...queueTables,
  ...fileTables,
  ...scalerTables,
  ...machineTables,
  ...hydrationTables,
  ...snapshotTables,
  ...replyTables,
  ...scheduleTables,
  ...apiTables,
  ...auditTables,
});
