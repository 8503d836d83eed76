/** What must hold after every single step, read from the tables. Each problem names the invariant it breaks. */
import type { Doc } from "../../runtime/convex/_generated/dataModel.js";
import type { Backend } from "./backend.ts";

const COUNTED = ["queued", "delayed", "processing", "deadLetter", "headsReady", "headsLeased"] as const;

export function brokenInvariants(backend: Backend): string[] {
  const rows = <T>(table: string): T[] => backend.db.all(table) as unknown as T[];
  const messages = rows<Doc<"messageQueue">>("messageQueue");
  const heads = rows<Doc<"conversationHeads">>("conversationHeads");
  return [
    ...countersAgree(messages, heads, rows<Doc<"queueCounters">>("queueCounters")),
    ...conversationsAgree(messages, heads, rows<Doc<"conversations">>("conversations")),
    ...workersAgree(messages, rows<Doc<"workers">>("workers")),
    ...messagesAgree(messages),
    ...answersAgree(messages, rows<Doc<"outbox">>("outbox")),
  ];
}

function countersAgree(
  messages: Doc<"messageQueue">[],
  heads: Doc<"conversationHeads">[],
  shards: Doc<"queueCounters">[],
): string[] {
  const queued = messages.filter((message) => message.status === "queued");
  const expected: Record<(typeof COUNTED)[number], number> = {
    queued: queued.length,
    delayed: queued.filter((message) => message.delayed).length,
    processing: messages.filter((message) => message.status === "processing").length,
    deadLetter: messages.filter((message) => message.status === "dead_letter").length,
    headsReady: heads.filter((head) => head.state === "ready").length,
    headsLeased: heads.filter((head) => head.state === "leased").length,
  };
  return COUNTED.flatMap((field) => {
    const counted = shards.reduce((sum, shard) => sum + shard[field], 0);
    return counted === expected[field] ? [] : [`stats: ${field} is ${counted}, rows say ${expected[field]}`];
  });
}

function conversationsAgree(
  messages: Doc<"messageQueue">[],
  heads: Doc<"conversationHeads">[],
  conversations: Doc<"conversations">[],
): string[] {
  return conversations.flatMap((conversation) => {
    const name = conversation.conversationId;
    const own = messages.filter((message) => message.conversation === conversation._id);
    const running = own.filter((message) => message.status === "processing");
    const waiting = own.filter((message) => message.status === "queued").sort((a, b) => a.seq - b.seq);
    const ownHeads = heads.filter((head) => head.conversation === conversation._id);
    const problems: string[] = [];
    if (running.length > 1) problems.push(`order: ${name} has ${running.length} turns at once`);
    if (conversation.queuedCount !== waiting.length) {
      problems.push(`stats: ${name} counts ${conversation.queuedCount} waiting, ${waiting.length} are`);
    }
    const first = running[0] ?? waiting[0];
    if (ownHeads.length !== (first === undefined ? 0 : 1))
      problems.push(`heads: ${name} has ${ownHeads.length}`);
    const head = ownHeads[0];
    if (head === undefined || first === undefined) return problems;
    if (head.message !== first._id) problems.push(`heads: that of ${name} is not the first in line`);
    if ((head.state === "leased") !== running.length > 0) problems.push(`heads: ${name} is ${head.state}`);
    if (head.state !== "leased" && (head.state === "paused") !== (conversation.pausedAt !== undefined)) {
      problems.push(`heads: ${name} is ${head.state}, pausedAt ${conversation.pausedAt}`);
    }
    if (head.state === "leased" && head.leaseExpiresAt !== first.leaseExpiresAt) {
      problems.push(`heads: ${name} knows another expiry than its message`);
    }
    return problems;
  });
}

function workersAgree(messages: Doc<"messageQueue">[], workers: Doc<"workers">[]): string[] {
  return workers.flatMap((worker) => {
    const held = messages.filter((m) => m.status === "processing" && m.workerId === worker.workerId).length;
    const problems: string[] = [];
    if (worker.load !== held) problems.push(`load: ${worker.workerId} says ${worker.load}, holds ${held}`);
    if (held > worker.slots) problems.push(`load: ${worker.workerId} holds ${held} of ${worker.slots}`);
    const room = worker.state === "active" && worker.load < worker.slots;
    if (worker.hasFreeSlot !== room) problems.push(`load: hasFreeSlot of ${worker.workerId} is wrong`);
    return problems;
  });
}

function messagesAgree(messages: Doc<"messageQueue">[]): string[] {
  return messages.flatMap((message) => {
    const problems: string[] = [];
    const { _id, status, attempts, maxAttempts } = message;
    if (attempts < 0 || attempts > maxAttempts)
      problems.push(`attempts: ${_id} has ${attempts} of ${maxAttempts}`);
    if ((status === "processing") !== (message.leaseId !== undefined))
      problems.push(`lease: ${_id} is ${status}`);
    const ended = status === "done" || status === "dead_letter" || status === "cancelled";
    if (ended !== (message.finishedAt !== undefined)) problems.push(`end: ${_id} is ${status}`);
    return problems;
  });
}

function answersAgree(messages: Doc<"messageQueue">[], outbox: Doc<"outbox">[]): string[] {
  const answers = new Map<string, number>();
  for (const part of outbox) {
    if (part.reason === "answer")
      answers.set(part.messageId ?? "", (answers.get(part.messageId ?? "") ?? 0) + 1);
  }
  return messages.flatMap((message) => {
    const count = answers.get(message._id) ?? 0;
    const expected = message.status === "done" ? 1 : 0;
    return count === expected ? [] : [`answers: ${message._id} is ${message.status} with ${count} answers`];
  });
}
