/** Push templates, push jobs and broadcasts. */
import type * as api from "./api.gen.ts";
import type { Keyed, Transport } from "./transport.ts";

type NewJob = api.CreatePushJobData["body"];
export type PushJobFromTemplate = Extract<NewJob, { templateKey: string }>;
export type CustomPushJob = Exclude<NewJob, { templateKey: string }>;

export function pushMethods({ call }: Transport) {
  const createJob = (body: NewJob, keyed: Keyed) =>
    call<api.CreatePushJobData, api.CreatePushJobResponse>("POST", "/push-jobs", { body, keyed });
  const updatePushJob = (jobId: string, body: api.UpdatePushJobData["body"]) =>
    call<api.UpdatePushJobData, api.UpdatePushJobResponse>("PATCH", "/push-jobs/{jobId}", {
      path: { jobId },
      body,
    });

  return {
    async listPushTemplatesByCompany() {
      const { templates } = await call<api.ListPushTemplatesData, api.ListPushTemplatesResponse>(
        "GET",
        "/push-templates",
        {},
      );
      return templates;
    },

    createPushTemplate({ idempotencyKey, ...body }: api.CreatePushTemplateData["body"] & Keyed) {
      return call<api.CreatePushTemplateData, api.CreatePushTemplateResponse>("POST", "/push-templates", {
        body,
        keyed: { idempotencyKey },
      });
    },

    /** Jobs made from the template stay as they are. */
    updatePushTemplate(templateKey: string, body: api.UpdatePushTemplateData["body"]) {
      return call<api.UpdatePushTemplateData, api.UpdatePushTemplateResponse>(
        "PATCH",
        "/push-templates/{templateKey}",
        { path: { templateKey }, body },
      );
    },

    /** Jobs made from the template go on. */
    deletePushTemplate(templateKey: string) {
      return call<api.DeletePushTemplateData, api.DeletePushTemplateResponse>(
        "DELETE",
        "/push-templates/{templateKey}",
        { path: { templateKey }, whenGone: { ok: true } },
      );
    },

    createPushJobFromTemplate: ({ idempotencyKey, ...job }: PushJobFromTemplate & Keyed) =>
      createJob(job, { idempotencyKey }),
    createPushJobCustom: ({ idempotencyKey, ...job }: CustomPushJob & Keyed) =>
      createJob(job, { idempotencyKey }),
    updatePushJob,
    setPushJobEnabled: (jobId: string, enabled: boolean) => updatePushJob(jobId, { enabled }),

    deletePushJob(jobId: string) {
      return call<api.DeletePushJobData, api.DeletePushJobResponse>("DELETE", "/push-jobs/{jobId}", {
        path: { jobId },
        whenGone: { ok: true },
      });
    },

    async listPushJobsForUser(userId: string) {
      const { jobs } = await call<api.ListPushJobsData, api.ListPushJobsResponse>(
        "GET",
        "/users/{userId}/push-jobs",
        { path: { userId } },
      );
      return jobs;
    },

    /** Sends the job's message now, once per key; its slots are untouched. */
    triggerPushJobNow(jobId: string, keyed: Keyed = {}) {
      return call<api.TriggerPushJobData, api.TriggerPushJobResponse>("POST", "/push-jobs/{jobId}/trigger", {
        path: { jobId },
        keyed,
      });
    },

    /** What became of a job's slots, latest first. */
    async listPushDispatchesByJob(jobId: string, query: api.ListPushDispatchesData["query"] = {}) {
      const { dispatches } = await call<api.ListPushDispatchesData, api.ListPushDispatchesResponse>(
        "GET",
        "/push-jobs/{jobId}/dispatches",
        { path: { jobId }, query },
      );
      return dispatches;
    },

    /**
     * One message to each of the company's people with an active binding, once per key: sent again with it, a broadcast
     * whose answer was lost goes on where it was and tells its counts.
     */
    sendBroadcastToAllActiveAgents({ idempotencyKey, ...body }: api.SendBroadcastData["body"] & Keyed) {
      return call<api.SendBroadcastData, api.SendBroadcastResponse>("POST", "/broadcasts", {
        body,
        keyed: { idempotencyKey },
      });
    },

    /** Who got it and who did not; pass `cursor` for the next page, until it is null. */
    getBroadcast(broadcastId: string, query: api.GetBroadcastData["query"] = {}) {
      return call<api.GetBroadcastData, api.GetBroadcastResponse>("GET", "/broadcasts/{broadcastId}", {
        path: { broadcastId },
        query,
      });
    },
  };
}
