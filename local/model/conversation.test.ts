import { expect, test } from "vitest";
import { describeConversation, readConversation, readUserText } from "./conversation.ts";
import { chatRequestSchema } from "./request.ts";

const QUEUED =
  "[Queued user message from a previous active turn; preserved as context only. Continue with the active prompt below.]";
const CONTINUE =
  "Continue the current task from the existing transcript, preserving completed work. If an action was interrupted, inspect its state.";
const RUNTIME =
  "Runtime: agent=main | session=agent:main:c1 | sessionId=x | host=vm | model=llm/m | default_model=llm/m";

test.each([
  ["a plain text stays", "hello\n\nworld", ["hello\n\nworld"]],
  ["the time in front goes", "[Sun 2026-11-22 18:38 UTC] hello", ["hello"]],
  ["so do seconds and zones", "[Sun 2026-11-22 18:38:07 GMT+2 +3m] hello", ["hello"]],
  ["the engine's own paragraph goes", `[Sun 2026-11-22 18:38 UTC] hello\n\n${RUNTIME}`, ["hello"]],
  ["a person may write brackets", "[urgent] hello", ["[urgent] hello"]],
  [
    "an unanswered text and the next one are two",
    `${QUEUED}\nslow 20000\n\nthree\n\nlines`,
    ["slow 20000", "three\n\nlines"],
  ],
  ["a retried text is one", `[Sun 2026-11-22 18:38 UTC] ${QUEUED}\nfail 500\n\n${CONTINUE}`, ["fail 500"]],
  ["facts about the sender go", 'Sender: ⟦openclaw:ctx⟧\n```json\n{"id":1}\n```\nhello', ["hello"]],
  [
    "a fact block without a fence ends at an empty line",
    "Chat: ⟦openclaw:ctx⟧\nAda, admin\n\nhello",
    ["hello"],
  ],
  [
    "the engine's own messages are nobody's",
    "OpenClaw runtime context for the immediately preceding user message.\nx",
    [],
  ],
  [
    "internal blocks go",
    "<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nx\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>\nhello",
    ["hello"],
  ],
])("%s", (_rule, text, expected) => {
  expect(readUserText(text)).toEqual(expected);
});

test("texts that the engine merged into one message are counted one by one", () => {
  const request = chatRequestSchema.parse({
    model: "m",
    messages: [
      { role: "system", content: "You are" },
      { role: "developer", content: "kind." },
      {
        role: "user",
        content: [
          { type: "text", text: "[Sun 2026-11-22 18:40 UTC] one" },
          { type: "text", text: "two" },
        ],
      },
      {
        role: "assistant",
        content: "ok",
        tool_calls: [{ id: "c", function: { name: "read", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "c", content: "old" },
      { role: "user", content: "three" },
      { role: "tool", tool_call_id: "d", content: [{ type: "text", text: "new" }] },
    ],
  });
  expect(readConversation(request)).toEqual({
    userTexts: ["one", "two", "three"],
    toolResults: ["new"],
    pictures: 0,
    system: "You are\nkind.",
  });
});

test("a picture beside a text is no text of a person, and the default answer says that it was seen", () => {
  const picture = { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } };
  const request = chatRequestSchema.parse({
    model: "m",
    messages: [{ role: "user", content: [{ type: "text", text: "look" }, picture, picture] }],
  });
  const conversation = readConversation(request);
  expect(conversation).toMatchObject({ userTexts: ["look"], pictures: 2 });
  expect(describeConversation(conversation)).toContain("I see 2 of your pictures.");
});
