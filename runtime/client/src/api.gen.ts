/**
 * Generated from the deployment's openapi.json; do not edit. After a change of the API:
 * `npx vitest run --project node runtime/client/src/contract.test.ts --update`
 */

export type ErrorBody = {
  error: {
    /**
     * One of the documented codes; new ones may be added
     */
    code: string;
    /**
     * For people; names the field and the fix
     */
    message: string;
    /**
     * Whether the same request may succeed later
     */
    retryable: boolean;
    requestId: string;
  };
};

export type EnqueueMessageData = {
  body: {
    /**
     * Your own id; messages of one conversation are answered in order
     */
    conversationId: string;
    agentKey: string;
    /**
     * Your own id of the person who writes
     */
    userId: string;
    text: string;
    /**
     * Up to 32 facts for the agent
     */
    metadata?: {
      [key: string]: string;
    };
    attachments?: Array<{
      kind: "photo" | "voice" | "audio" | "video" | "document";
      /**
       * From an upload (createUpload)
       */
      storageId: string;
      fileName?: string;
      mimeType?: string;
    }>;
    priority?: number;
    /**
     * Milliseconds since the epoch, backend time
     */
    scheduledFor?: number;
  };
  headers?: {
    /**
     * The same key in the same conversation accepts one message, however often it is sent
     */
    "Idempotency-Key"?: string;
  };
  path?: never;
  query?: never;
  url: "/messages";
};

export type EnqueueMessageResponses = {
  /**
   * Done
   */
  202: {
    messageId: string;
    /**
     * Full id; both it and yours are understood
     */
    conversationId: string;
    /**
     * True when the Idempotency-Key was used in this conversation before
     */
    duplicate: boolean;
  };
};

export type EnqueueMessageResponse = EnqueueMessageResponses[keyof EnqueueMessageResponses];

export type GetMessageData = {
  body?: never;
  path: {
    messageId: string;
  };
  query?: {
    /**
     * Keep the request open for up to this long until there is something new, ms
     */
    waitMs?: number;
  };
  url: "/messages/{messageId}";
};

export type GetMessageResponses = {
  /**
   * Done
   */
  200: {
    messageId: string;
    conversationId: string;
    agentKey: string;
    /**
     * Your own id of the person; a channel's for whom you have not bound
     */
    userId: string;
    status: "queued" | "processing" | "done" | "dead_letter" | "cancelled";
    attempts: number;
    /**
     * Milliseconds since the epoch, backend time
     */
    createdAt: number;
    /**
     * Milliseconds since the epoch, backend time
     */
    dueAt: number;
    finishedAt: number | null;
    /**
     * The agent's Markdown; null until status is done, or when it said nothing
     */
    answer: string | null;
    /**
     * Why the last attempt failed
     */
    error: string | null;
    /**
     * How far the answer got in a chat; none for answers that are read here
     */
    delivery: {
      state: "none" | "pending" | "delivered" | "failed" | "unknown";
      parts: number;
      deliveredAt: number | null;
    };
  };
};

export type GetMessageResponse = GetMessageResponses[keyof GetMessageResponses];

export type CancelMessageData = {
  body?: never;
  path: {
    messageId: string;
  };
  query?: never;
  url: "/messages/{messageId}/cancel";
};

export type CancelMessageResponses = {
  /**
   * Done
   */
  200: {
    /**
     * cancelled: it is, by this request or an earlier one; none: it had ended otherwise
     */
    outcome: "cancelled" | "requested" | "none";
  };
};

export type CancelMessageResponse = CancelMessageResponses[keyof CancelMessageResponses];

export type ListConversationMessagesData = {
  body?: never;
  path: {
    conversationId: string;
  };
  query?: {
    /**
     * `next` of the last response; -1 from the start
     */
    after?: number;
    limit?: number;
    /**
     * Keep the request open for up to this long until there is something new, ms
     */
    waitMs?: number;
  };
  url: "/conversations/{conversationId}/messages";
};

export type ListConversationMessagesResponses = {
  /**
   * Done
   */
  200: {
    conversationId: string;
    messages: Array<{
      seq: number;
      role: "user" | "assistant" | "system" | "tool";
      content: string;
      /**
       * Milliseconds since the epoch, backend time
       */
      at: number;
    }>;
    next: number;
    more: boolean;
  };
};

export type ListConversationMessagesResponse =
  ListConversationMessagesResponses[keyof ListConversationMessagesResponses];

export type ListAgentsData = {
  body?: never;
  path?: never;
  query?: never;
  url: "/agents";
};

export type ListAgentsResponses = {
  /**
   * Done
   */
  200: {
    agents: Array<{
      agentKey: string;
      version: string;
      enabled: boolean;
    }>;
  };
};

export type ListAgentsResponse = ListAgentsResponses[keyof ListAgentsResponses];

export type CreateUploadData = {
  body?: never;
  path?: never;
  query?: never;
  url: "/uploads";
};

export type CreateUploadResponses = {
  /**
   * Done
   */
  201: {
    uploadUrl: string;
  };
};

export type CreateUploadResponse = CreateUploadResponses[keyof CreateUploadResponses];

export type CreatePairingCodeData = {
  body: {
    userId: string;
    agentKey: string;
    /**
     * Default 15 minutes
     */
    ttlMs?: number;
  };
  path?: never;
  query?: never;
  url: "/pairing-codes";
};

export type CreatePairingCodeResponses = {
  /**
   * Done
   */
  201: {
    code: string;
    /**
     * Milliseconds since the epoch, backend time
     */
    expiresAt: number;
    /**
     * Opens the bot with the code; null until a webhook is configured
     */
    deepLink: string | null;
  };
};

export type CreatePairingCodeResponse = CreatePairingCodeResponses[keyof CreatePairingCodeResponses];

export type GetPairingCodeStatusData = {
  body: {
    code: string;
  };
  path?: never;
  query?: never;
  url: "/pairing-codes/status";
};

export type GetPairingCodeStatusResponses = {
  /**
   * Done
   */
  200: {
    status: "pending" | "used" | "expired";
    userId: string;
    agentKey: string;
    /**
     * Milliseconds since the epoch, backend time
     */
    expiresAt: number;
    usedAt: number | null;
  };
};

export type GetPairingCodeStatusResponse = GetPairingCodeStatusResponses[keyof GetPairingCodeStatusResponses];

export type RevokeBindingData = {
  body?: never;
  path: {
    userId: string;
  };
  query?: never;
  url: "/users/{userId}/binding";
};

export type RevokeBindingResponses = {
  /**
   * Done
   */
  200: {
    revoked: number;
  };
};

export type RevokeBindingResponse = RevokeBindingResponses[keyof RevokeBindingResponses];

export type GetBindingData = {
  body?: never;
  path: {
    userId: string;
  };
  query?: never;
  url: "/users/{userId}/binding";
};

export type GetBindingResponses = {
  /**
   * Done
   */
  200: {
    active: {
      agentKey: string;
      status: "active" | "revoked";
      source: "manual" | "telegram_pairing" | "api";
      telegramUserId: string | null;
      telegramChatId: string | null;
      conversationId: string | null;
      /**
       * Milliseconds since the epoch, backend time
       */
      boundAt: number;
      revokedAt: number | null;
      revokedBecause: string | null;
    } | null;
    history: Array<{
      agentKey: string;
      status: "active" | "revoked";
      source: "manual" | "telegram_pairing" | "api";
      telegramUserId: string | null;
      telegramChatId: string | null;
      conversationId: string | null;
      /**
       * Milliseconds since the epoch, backend time
       */
      boundAt: number;
      revokedAt: number | null;
      revokedBecause: string | null;
    }>;
  };
};

export type GetBindingResponse = GetBindingResponses[keyof GetBindingResponses];

export type BindUserData = {
  body: {
    agentKey: string;
  };
  path: {
    userId: string;
  };
  query?: never;
  url: "/users/{userId}/binding";
};

export type BindUserResponses = {
  /**
   * Done
   */
  200: {
    bindingId: string;
  };
};

export type BindUserResponse = BindUserResponses[keyof BindUserResponses];

export type ListPushTemplatesData = {
  body?: never;
  path?: never;
  query?: never;
  url: "/push-templates";
};

export type ListPushTemplatesResponses = {
  /**
   * Done
   */
  200: {
    templates: Array<{
      templateKey: string;
      title: string;
      text: string;
      schedule:
        | {
            kind: "manual";
          }
        | {
            kind: "daily";
            /**
             * HH:mm in the job's zone
             */
            time: string;
          }
        | {
            kind: "weekly";
            /**
             * 1 Monday … 7 Sunday
             */
            weekday: number;
            /**
             * HH:mm in the job's zone
             */
            time: string;
          }
        | {
            kind: "monthly";
            dayOfMonth: number | "last";
            /**
             * HH:mm in the job's zone
             */
            time: string;
          };
      enabled: boolean;
      templateId: string;
      /**
       * Milliseconds since the epoch, backend time
       */
      updatedAt: number;
    }>;
  };
};

export type ListPushTemplatesResponse = ListPushTemplatesResponses[keyof ListPushTemplatesResponses];

export type CreatePushTemplateData = {
  body: {
    templateKey: string;
    title: string;
    text: string;
    schedule:
      | {
          kind: "manual";
        }
      | {
          kind: "daily";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "weekly";
          /**
           * 1 Monday … 7 Sunday
           */
          weekday: number;
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "monthly";
          dayOfMonth: number | "last";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        };
    enabled?: boolean;
  };
  headers?: {
    /**
     * The same key for the same template makes it once, however often it is sent
     */
    "Idempotency-Key"?: string;
  };
  path?: never;
  query?: never;
  url: "/push-templates";
};

export type CreatePushTemplateResponses = {
  /**
   * Done
   */
  201: {
    templateId: string;
  };
};

export type CreatePushTemplateResponse = CreatePushTemplateResponses[keyof CreatePushTemplateResponses];

export type DeletePushTemplateData = {
  body?: never;
  path: {
    templateKey: string;
  };
  query?: never;
  url: "/push-templates/{templateKey}";
};

export type DeletePushTemplateResponses = {
  /**
   * Done
   */
  200: {
    ok: true;
  };
};

export type DeletePushTemplateResponse = DeletePushTemplateResponses[keyof DeletePushTemplateResponses];

export type UpdatePushTemplateData = {
  body: {
    title?: string;
    text?: string;
    schedule?:
      | {
          kind: "manual";
        }
      | {
          kind: "daily";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "weekly";
          /**
           * 1 Monday … 7 Sunday
           */
          weekday: number;
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "monthly";
          dayOfMonth: number | "last";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        };
    enabled?: boolean;
  };
  path: {
    templateKey: string;
  };
  query?: never;
  url: "/push-templates/{templateKey}";
};

export type UpdatePushTemplateResponses = {
  /**
   * Done
   */
  200: {
    ok: true;
  };
};

export type UpdatePushTemplateResponse = UpdatePushTemplateResponses[keyof UpdatePushTemplateResponses];

export type CreatePushJobData = {
  body:
    | {
        userId: string;
        templateKey: string;
        /**
         * IANA zone, for example Europe/Rome
         */
        timeZone: string;
        schedule?:
          | {
              kind: "manual";
            }
          | {
              kind: "daily";
              /**
               * HH:mm in the job's zone
               */
              time: string;
            }
          | {
              kind: "weekly";
              /**
               * 1 Monday … 7 Sunday
               */
              weekday: number;
              /**
               * HH:mm in the job's zone
               */
              time: string;
            }
          | {
              kind: "monthly";
              dayOfMonth: number | "last";
              /**
               * HH:mm in the job's zone
               */
              time: string;
            };
        enabled?: boolean;
      }
    | {
        userId: string;
        title: string;
        text: string;
        schedule:
          | {
              kind: "manual";
            }
          | {
              kind: "daily";
              /**
               * HH:mm in the job's zone
               */
              time: string;
            }
          | {
              kind: "weekly";
              /**
               * 1 Monday … 7 Sunday
               */
              weekday: number;
              /**
               * HH:mm in the job's zone
               */
              time: string;
            }
          | {
              kind: "monthly";
              dayOfMonth: number | "last";
              /**
               * HH:mm in the job's zone
               */
              time: string;
            };
        /**
         * IANA zone, for example Europe/Rome
         */
        timeZone: string;
        enabled?: boolean;
      };
  headers?: {
    /**
     * The same key makes one job, however often it is sent
     */
    "Idempotency-Key"?: string;
  };
  path?: never;
  query?: never;
  url: "/push-jobs";
};

export type CreatePushJobResponses = {
  /**
   * Done
   */
  201: {
    jobId: string;
    nextRunAt: number | null;
  };
};

export type CreatePushJobResponse = CreatePushJobResponses[keyof CreatePushJobResponses];

export type ListPushJobsData = {
  body?: never;
  path: {
    userId: string;
  };
  query?: never;
  url: "/users/{userId}/push-jobs";
};

export type ListPushJobsResponses = {
  /**
   * Done
   */
  200: {
    jobs: Array<{
      jobId: string;
      title: string;
      text: string;
      schedule:
        | {
            kind: "manual";
          }
        | {
            kind: "daily";
            /**
             * HH:mm in the job's zone
             */
            time: string;
          }
        | {
            kind: "weekly";
            /**
             * 1 Monday … 7 Sunday
             */
            weekday: number;
            /**
             * HH:mm in the job's zone
             */
            time: string;
          }
        | {
            kind: "monthly";
            dayOfMonth: number | "last";
            /**
             * HH:mm in the job's zone
             */
            time: string;
          };
      timeZone: string;
      enabled: boolean;
      nextRunAt: number | null;
      lastRunAt: number | null;
    }>;
  };
};

export type ListPushJobsResponse = ListPushJobsResponses[keyof ListPushJobsResponses];

export type DeletePushJobData = {
  body?: never;
  path: {
    jobId: string;
  };
  query?: never;
  url: "/push-jobs/{jobId}";
};

export type DeletePushJobResponses = {
  /**
   * Done
   */
  200: {
    ok: true;
  };
};

export type DeletePushJobResponse = DeletePushJobResponses[keyof DeletePushJobResponses];

export type UpdatePushJobData = {
  body: {
    title?: string;
    text?: string;
    schedule?:
      | {
          kind: "manual";
        }
      | {
          kind: "daily";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "weekly";
          /**
           * 1 Monday … 7 Sunday
           */
          weekday: number;
          /**
           * HH:mm in the job's zone
           */
          time: string;
        }
      | {
          kind: "monthly";
          dayOfMonth: number | "last";
          /**
           * HH:mm in the job's zone
           */
          time: string;
        };
    /**
     * IANA zone, for example Europe/Rome
     */
    timeZone?: string;
    enabled?: boolean;
  };
  path: {
    jobId: string;
  };
  query?: never;
  url: "/push-jobs/{jobId}";
};

export type UpdatePushJobResponses = {
  /**
   * Done
   */
  200: {
    jobId: string;
    nextRunAt: number | null;
  };
};

export type UpdatePushJobResponse = UpdatePushJobResponses[keyof UpdatePushJobResponses];

export type TriggerPushJobData = {
  body?: never;
  headers?: {
    /**
     * The same key for the same job sends one message, however often it is sent
     */
    "Idempotency-Key"?: string;
  };
  path: {
    jobId: string;
  };
  query?: never;
  url: "/push-jobs/{jobId}/trigger";
};

export type TriggerPushJobResponses = {
  /**
   * Done
   */
  202: {
    outcome: "enqueued" | "skipped" | "failed";
    reason: string | null;
    messageId: string | null;
  };
};

export type TriggerPushJobResponse = TriggerPushJobResponses[keyof TriggerPushJobResponses];

export type ListPushDispatchesData = {
  body?: never;
  path: {
    jobId: string;
  };
  query?: {
    limit?: number;
  };
  url: "/push-jobs/{jobId}/dispatches";
};

export type ListPushDispatchesResponses = {
  /**
   * Done
   */
  200: {
    dispatches: Array<{
      slotKey: string;
      /**
       * Milliseconds since the epoch, backend time
       */
      slotAt: number;
      /**
       * Milliseconds since the epoch, backend time
       */
      dispatchedAt: number;
      outcome: "enqueued" | "skipped" | "failed";
      reason: string | null;
      messageId: string | null;
    }>;
  };
};

export type ListPushDispatchesResponse = ListPushDispatchesResponses[keyof ListPushDispatchesResponses];

export type SendBroadcastData = {
  body: {
    title: string;
    text: string;
  };
  headers?: {
    /**
     * The same key starts one broadcast, however often it is sent; sent again, it tells its counts
     */
    "Idempotency-Key"?: string;
  };
  path?: never;
  query?: never;
  url: "/broadcasts";
};

export type SendBroadcastResponses = {
  /**
   * Done
   */
  202: {
    broadcastId: string;
    totalTargets: number;
    enqueued: number;
    /**
     * Not reachable or refused; getBroadcast says why
     */
    failed: number;
  };
};

export type SendBroadcastResponse = SendBroadcastResponses[keyof SendBroadcastResponses];

export type GetBroadcastData = {
  body?: never;
  path: {
    broadcastId: string;
  };
  query?: {
    cursor?: string;
  };
  url: "/broadcasts/{broadcastId}";
};

export type GetBroadcastResponses = {
  /**
   * Done
   */
  200: {
    state: "running" | "done";
    totalTargets: number;
    enqueued: number;
    failed: number;
    targets: Array<{
      userId: string;
      outcome: "enqueued" | "skipped" | "failed";
      reason: string | null;
      messageId: string | null;
      /**
       * Of the message; null when it is not (or no longer) there
       */
      status: "queued" | "processing" | "done" | "dead_letter" | "cancelled" | null;
      /**
       * How far the agent's answer got in the person's chat
       */
      delivery: "none" | "pending" | "delivered" | "failed" | "unknown";
    }>;
    cursor: string | null;
  };
};

export type GetBroadcastResponse = GetBroadcastResponses[keyof GetBroadcastResponses];

export type ListWebhookEndpointsData = {
  body?: never;
  path?: never;
  query?: never;
  url: "/webhook-endpoints";
};

export type ListWebhookEndpointsResponses = {
  /**
   * Done
   */
  200: {
    endpoints: Array<{
      endpointId: string;
      url: string;
      enabled: boolean;
      /**
       * Milliseconds since the epoch, backend time
       */
      createdAt: number;
    }>;
  };
};

export type ListWebhookEndpointsResponse = ListWebhookEndpointsResponses[keyof ListWebhookEndpointsResponses];

export type CreateWebhookEndpointData = {
  body: {
    url: string;
  };
  headers?: {
    /**
     * The same key registers one endpoint; sent again, it tells the same secret
     */
    "Idempotency-Key"?: string;
  };
  path?: never;
  query?: never;
  url: "/webhook-endpoints";
};

export type CreateWebhookEndpointResponses = {
  /**
   * Done
   */
  201: {
    endpointId: string;
    /**
     * whsec_ and base64: the HMAC-SHA256 key of webhook-signature
     */
    signingSecret: string;
  };
};

export type CreateWebhookEndpointResponse =
  CreateWebhookEndpointResponses[keyof CreateWebhookEndpointResponses];

export type DeleteWebhookEndpointData = {
  body?: never;
  path: {
    endpointId: string;
  };
  query?: never;
  url: "/webhook-endpoints/{endpointId}";
};

export type DeleteWebhookEndpointResponses = {
  /**
   * Done
   */
  200: {
    ok: true;
  };
};

export type DeleteWebhookEndpointResponse =
  DeleteWebhookEndpointResponses[keyof DeleteWebhookEndpointResponses];

export type RotateWebhookSecretData = {
  body: {
    /**
     * Default 24 hours, at most 7 days
     */
    graceMs?: number;
  };
  headers?: {
    /**
     * The same key as that of the last rotation makes no other secret, but tells the same
     */
    "Idempotency-Key"?: string;
  };
  path: {
    endpointId: string;
  };
  query?: never;
  url: "/webhook-endpoints/{endpointId}/rotate-secret";
};

export type RotateWebhookSecretResponses = {
  /**
   * Done
   */
  200: {
    signingSecret: string;
    /**
     * Milliseconds since the epoch, backend time
     */
    previousUntil: number;
  };
};

export type RotateWebhookSecretResponse = RotateWebhookSecretResponses[keyof RotateWebhookSecretResponses];

export type ListWebhookEventsData = {
  body?: never;
  path: {
    endpointId: string;
  };
  query?: never;
  url: "/webhook-endpoints/{endpointId}/events";
};

export type ListWebhookEventsResponses = {
  /**
   * Done
   */
  200: {
    events: Array<{
      eventId: string;
      state: "pending" | "delivered" | "failed";
      attempts: number;
      /**
       * Milliseconds since the epoch, backend time
       */
      createdAt: number;
      lastError: string | null;
    }>;
  };
};

export type ListWebhookEventsResponse = ListWebhookEventsResponses[keyof ListWebhookEventsResponses];
