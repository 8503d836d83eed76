import { describe, expect, test } from "vitest";
import { decideAddressed, decideAgent, NO_BINDING } from "./addressing.ts";
import type { PersonMessage } from "./telegramUpdate.ts";

const bot = { botId: "900", username: "helper_bot" };
const base: PersonMessage = {
  kind: "message",
  messageId: 1,
  chat: { id: "-1", isPrivate: false, title: "G" },
  threadId: null,
  sender: { id: "1", name: "Ada", languageCode: null },
  text: "hello",
  isWritten: true,
  mentions: [],
  command: null,
  replyToUserId: null,
  attachments: [],
  albumId: null,
};
const inPrivate = { ...base, chat: { id: "1", isPrivate: true, title: null } };

describe("who is meant", () => {
  test("in a private chat always the bot", () => {
    expect(decideAddressed(inPrivate, bot)).toEqual({ addressed: true, command: null, text: "hello" });
  });

  test("in a group not the bot, unless it is named", () => {
    expect(decideAddressed(base, bot)).toEqual({ addressed: false });
  });

  test("a mention addresses the bot, in any case of letters, and is not part of the text", () => {
    const text = "@Helper_Bot what time is it?";
    const mentions = [{ kind: "username" as const, offset: 0, length: 11, username: "Helper_Bot" }];
    expect(decideAddressed({ ...base, text, mentions }, bot)).toEqual({
      addressed: true,
      command: null,
      text: "what time is it?",
    });
  });

  test("a mention alone stays as the text", () => {
    const mentions = [{ kind: "username" as const, offset: 0, length: 11, username: "helper_bot" }];
    expect(decideAddressed({ ...base, text: "@helper_bot", mentions }, bot)).toMatchObject({
      text: "@helper_bot",
    });
  });

  test("a mention of somebody else does not", () => {
    const mentions = [{ kind: "username" as const, offset: 0, length: 6, username: "other" }];
    expect(decideAddressed({ ...base, text: "@other", mentions }, bot)).toEqual({ addressed: false });
  });

  test("a reply to the bot addresses it, a reply to a person does not", () => {
    expect(decideAddressed({ ...base, replyToUserId: "900" }, bot).addressed).toBe(true);
    expect(decideAddressed({ ...base, replyToUserId: "2" }, bot).addressed).toBe(false);
  });

  test("a command for another bot is not ours; a bare one of ours is", () => {
    const command = { name: "stop", addressee: "other_bot", argument: "" };
    expect(decideAddressed({ ...base, command }, bot)).toEqual({ addressed: false });
    expect(decideAddressed({ ...base, command: { ...command, addressee: null } }, bot)).toMatchObject({
      addressed: true,
      command: { name: "stop" },
    });
  });

  test("an unknown command is text for the agent when it names the bot or the chat is private", () => {
    const command = { name: "draw", addressee: null, argument: "cat" };
    expect(decideAddressed({ ...inPrivate, command, text: "/draw cat" }, bot)).toMatchObject({
      command: null,
      text: "/draw cat",
    });
    expect(decideAddressed({ ...base, command }, bot)).toEqual({ addressed: false });
    expect(
      decideAddressed({ ...base, command: { ...command, addressee: "helper_bot" } }, bot).addressed,
    ).toBe(true);
  });
});

const options = {
  resolveAgentKeyFromBinding: true,
  fallbackAgentKey: "default",
  requireBindingForTelegram: false,
};
const shared = { botAgentKey: null, isPrivate: true, userBinding: null, chatBinding: null, options };

describe("which agent", () => {
  test("the person's binding, then the chat's, then the fallback", () => {
    const userBinding = { agentKey: "u" };
    const chatBinding = { agentKey: "c" };
    expect(decideAgent({ ...shared, userBinding, chatBinding })).toMatchObject({ agentKey: "u" });
    expect(decideAgent({ ...shared, chatBinding })).toMatchObject({ agentKey: "c" });
    expect(decideAgent(shared)).toEqual({ kind: "agent", agentKey: "default", bound: false });
  });

  test("in a group the group's own binding comes first", () => {
    const both = { userBinding: { agentKey: "u" }, chatBinding: { agentKey: "c" } };
    expect(decideAgent({ ...shared, ...both, isPrivate: false })).toMatchObject({ agentKey: "c" });
  });

  test("a dedicated bot reaches its own agent alone, whatever the person is bound to", () => {
    expect(decideAgent({ ...shared, botAgentKey: "a", userBinding: { agentKey: "b" } })).toEqual({
      kind: "agent",
      agentKey: "a",
      bound: false,
    });
  });

  test("where a binding is required, a binding to another agent does not count on a dedicated bot", () => {
    const strict = { ...options, requireBindingForTelegram: true };
    const input = { ...shared, botAgentKey: "a", options: strict };
    expect(decideAgent({ ...input, userBinding: { agentKey: "b" } })).toEqual({
      kind: "refused",
      reason: NO_BINDING,
    });
    expect(decideAgent({ ...input, userBinding: { agentKey: "a" } })).toMatchObject({
      agentKey: "a",
      bound: true,
    });
  });

  test("bindings can be switched off for routing", () => {
    const input = {
      ...shared,
      userBinding: { agentKey: "u" },
      options: { ...options, resolveAgentKeyFromBinding: false },
    };
    expect(decideAgent(input)).toMatchObject({ agentKey: "default" });
  });
});
