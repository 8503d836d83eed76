/**
 * The operators' surface (spec A2): `npx convex run factory:<name> '{…}'` with the admin key. Everything here is
 * internal; this file only re-exports, grouped by room, so that paths are short and stay.
 */

// ---- hydration
export { configureAgent, listAgents, seedDefaultAgent } from "./hydration/agents.ts";
export { setAgentEnabled } from "./hydration/agentSwitch.ts";
export { listConversationMessages } from "./hydration/listHistory.ts";

// ---- secrets
export { importSecret } from "./secrets/importSecret.ts";
export { secretStatus } from "./secrets/read.ts";
export { removeSecret } from "./secrets/removeSecret.ts";
export { rewrapSecrets } from "./secrets/rewrap.ts";

// ---- config
export { applyRuntimeConfig, runtimeConfig, runtimeConfigHistory } from "./config/apply.ts";

// ---- queue
export { enqueue } from "./queue/enqueue.ts";
export { hasQueuedJobsForConversation, listJobsByStatus, queueStats } from "./queue/stats.ts";
export { recoverQueue, releaseStuckJobs } from "./queue/operators.ts";
export { messageTimeline } from "./queue/timeline.ts";
export { cancelMessage } from "./queue/cancel.ts";
export { pauseConversation, resumeConversation } from "./queue/pause.ts";
export { discardDeadLetters, listDeadLetters, replayDeadLetters } from "./queue/deadLetters.ts";

// ---- audit
export { listAudit } from "./audit/list.ts";

// ---- scaler, machines
export {
  checkIdleShutdowns,
  scalerDecisions,
  startWorkers,
  startWorkers as reconcileWorkers,
  workerStats,
} from "./scaler/operators.ts";
export { appStatus } from "./scaler/appStatus.ts";
export { retireRuntimeConfig, workersLeft } from "./scaler/retire.ts";
export { doctor } from "./scaler/doctor.ts";
export { rolloutStatus } from "./scaler/rolloutStatus.ts";
export { deleteFlyVolume, runFlyCleanup } from "./scaler/cleanup.ts";

// ---- ingress, identity, replies
export { configureTelegramWebhook, deleteTelegramWebhook, telegramWebhookStatus } from "./ingress/webhook.ts";
export {
  bindUserAgent,
  getUserAgentBinding,
  myAgentKey,
  resolveAgentForTelegram,
  resolveAgentForUser,
  revokeUserAgentBinding,
} from "./identity/bindings.ts";
export { listBindings } from "./identity/listBindings.ts";
export { consumePairingCode, createPairingCode, getPairingCodeStatus } from "./identity/pairing.ts";
export { listDeliveries, resendDelivery } from "./replies/deliveries.ts";
export { attachMessageMetadata, generateMediaUploadUrl, getStorageFileUrl } from "./ingress/media.ts";

// ---- schedules
export {
  createPushTemplate,
  deletePushTemplate,
  listPushTemplatesByCompany,
  updatePushTemplate,
} from "./schedules/templates.ts";
export {
  createPushJobCustom,
  createPushJobFromTemplate,
  deletePushJob,
  listPushDispatchesByJob,
  listPushJobsForUser,
  setPushJobEnabled,
  updatePushJob,
} from "./schedules/jobs.ts";
export { dispatchDuePushJobs, triggerPushJobNow } from "./schedules/dispatch.ts";
export { resumeBroadcast, sendBroadcastToAllActiveAgents } from "./schedules/broadcast.ts";
export { broadcastReport } from "./schedules/broadcastReport.ts";

// ---- consumer API
export { listWebhookEvents, retryWebhookEvent } from "./api/eventLog.ts";
export { createServiceKey, listServiceKeys, revokeServiceKey, rotateServiceKey } from "./api/keys.ts";
