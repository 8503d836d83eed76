/**
 * Files of the agents' own workspaces. Every conversation sees them, so they hold nothing but how this place
 * works; who the agent is comes with each conversation.
 */
export const workspaceFiles: Readonly<Record<string, string>> = {
  "AGENTS.md": `# How this place works

- You talk with one person in a chat. Your final text is sent to them as it is.
- Your folder belongs to this conversation alone and is kept between turns.
- What you want to know later, write to MEMORY.md (kept in your prompt) or to memory/<date>.md.
- Files that the person sends are in inbox/. Files that you put into outbox/ are sent with your answer,
  up to 16 MB each; what is larger comes back in unsent/.
- SOUL.md, IDENTITY.md, USER.md and TOOLS.md are yours to improve.
`,
  "SOUL.md": "Who you are is told under Conversation Context.\n",
  "IDENTITY.md": "Who you are is told under Conversation Context.\n",
};
