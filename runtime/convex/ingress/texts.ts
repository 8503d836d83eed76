const messages = (count: number): string => (count === 1 ? "1 message" : `${count} messages`);

/** What the system itself says in a chat. Markdown; one place, so that the tone stays one. */
export const texts = {
  welcome: "Hello! Write to me here and I will answer. /help shows what else I understand.",
  help: [
    "Write to me and I will answer.",
    "",
    "/status – what I am doing",
    "/stop – stop the current answer",
    "/new – start a fresh conversation",
    "/help – this list",
  ].join("\n"),
  paired: "You are connected. Write to me here and I will answer.",
  alreadyPaired: "You are connected already. Write to me here and I will answer.",
  stranger: "This assistant is private. To use it, open the pairing link from the app that gave you access.",
  pairInPrivate: "Pairing works in a private chat with me only.",
  pairingFailed: (error: string): string =>
    `Pairing did not work: ${error}. Please ask your app for a new link.`,
  stopped: "Stopped.",
  nothingToStop: "Nothing is running.",
  newConversation: (unanswered: number, more: boolean): string => {
    const fresh = "A fresh conversation begins. What was said before is left behind.";
    if (unanswered === 0) return fresh;
    const count = more ? `More than ${unanswered} messages` : messages(unanswered);
    return `${fresh} ${count} will not be answered any more.`;
  },
  working: (waiting: number): string =>
    waiting === 0
      ? "I am working on your message."
      : `I am working on your message; ${waiting} more waiting.`,
  waiting: (waiting: number): string =>
    waiting === 1 ? "1 message is waiting for its turn." : `${waiting} messages are waiting for their turn.`,
  idle: "Nothing is running and nothing is waiting.",
  paused: "This conversation is paused by its operator.",
  unavailable: "I cannot take messages right now. Please try again later.",
  tooLong: "This message is too long for me. Please send it in smaller pieces.",
  tooMany: "Too many messages are waiting. Please wait for my answers before writing more.",
} as const;
