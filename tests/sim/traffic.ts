/** What people do to the queue during a run: they write, and operators interfere. */
import type { Fleet } from "./fleet.ts";
import type { World } from "./world.ts";

const CONVERSATIONS = ["a", "b", "c", "d"] as const;

export class Traffic {
  readonly #world: World;
  readonly #fleet: Fleet;
  /** Messages that arrived, repeated deliveries not counted. */
  messages = 0;
  #externalIds = 0;

  constructor(world: World, fleet: Fleet) {
    this.#world = world;
    this.#fleet = fleet;
  }

  async arrive(): Promise<void> {
    const { random } = this.#world;
    const conversationId = random.pick(CONVERSATIONS);
    const scheduled = random.chance(0.1);
    const again = this.#externalIds > 0 && random.chance(0.15);
    const external = again ? random.below(this.#externalIds) : this.#externalIds++;
    const wakesBefore = this.#wakes();
    const args = {
      // An id belongs to one conversation, as a chat's update does.
      conversationId: CONVERSATIONS[external % CONVERSATIONS.length] ?? conversationId,
      agentKey: "support",
      payload: {
        provider: "telegram",
        providerUserId: "7",
        messageText: "hi",
        externalMessageId: `u${external}`,
      },
      destination: { kind: "telegram", botSecretRef: "telegram.botToken.default", chatId: "9" },
      priority: random.below(101),
      maxAttempts: 1 + random.below(4),
      ...(scheduled ? { scheduledFor: this.#world.clock + random.below(60_000) } : {}),
    };
    const messageId = await this.#world.backend.call<string>("queue/enqueue:enqueue", args);
    this.#world.calls += 1;
    this.#world.oracle.noteUsage("queue/enqueue:enqueue");
    if (!again) this.messages += 1;
    this.#world.oracle.accepted(messageId, args.conversationId, !scheduled);
    if (this.#wakes() > wakesBefore + 1)
      this.#world.oracle.problems.push("wake: an enqueue woke more than one worker");
    this.#world.note(`enqueue u${external} in ${args.conversationId} -> ${messageId}`);
  }

  #wakes(): number {
    return this.#world.backend.db.all("workerSignals").reduce((sum, row) => sum + Number(row["wake"]), 0);
  }

  async operate(): Promise<void> {
    const { random, backend } = this.#world;
    const conversationId = random.pick(CONVERSATIONS);
    const exists = backend.db.all("conversations").some((row) => row["conversationId"] === conversationId);
    const act = random.pick(["pause", "resume", "cancel", "replay", "discard", "drain"] as const);
    this.#world.note(`operator: ${act}`);
    if (act === "pause" && exists) await backend.call("queue/pause:pauseConversation", { conversationId });
    if (act === "resume" && exists) await backend.call("queue/pause:resumeConversation", { conversationId });
    const messages = backend.db.all("messageQueue");
    if (act === "cancel" && messages.length > 0) {
      await backend.call("queue/cancel:cancelMessage", { messageId: random.pick(messages)._id });
    }
    if (act === "replay") {
      for (const message of messages)
        if (message["status"] === "dead_letter") this.#world.oracle.replayed(message._id);
      await backend.call("queue/deadLetters:replayDeadLetters", {});
    }
    if (act === "discard" && random.chance(0.3))
      await backend.call("queue/deadLetters:discardDeadLetters", {});
    if (act === "drain" && this.#fleet.workers.length > 0)
      await this.#fleet.drain(random.pick(this.#fleet.workers));
  }
}
