/** The server's tables. Bodies are JSON; times are milliseconds since 1970. */
export const SCHEMA = `
CREATE TABLE IF NOT EXISTS bots (
  id INTEGER PRIMARY KEY, username TEXT NOT NULL UNIQUE COLLATE NOCASE, first_name TEXT NOT NULL,
  token_hash TEXT NOT NULL UNIQUE, reads_all INTEGER NOT NULL, commands TEXT NOT NULL DEFAULT '[]',
  next_update_id INTEGER NOT NULL, next_message_id INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS webhooks (
  bot_id INTEGER PRIMARY KEY, url TEXT NOT NULL, secret_token TEXT NOT NULL, max_connections INTEGER NOT NULL,
  allowed_updates TEXT NOT NULL, last_error_at INTEGER, last_error_message TEXT, gone_since INTEGER);
CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chats (id INTEGER PRIMARY KEY, body TEXT NOT NULL, next_message_id INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS topics (
  chat_id INTEGER NOT NULL, thread_id INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (chat_id, thread_id));
CREATE TABLE IF NOT EXISTS dialogs (
  bot_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, status TEXT NOT NULL, PRIMARY KEY (bot_id, chat_id));
CREATE TABLE IF NOT EXISTS messages (
  bot_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (bot_id, chat_id, message_id));
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, bot_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, at INTEGER NOT NULL,
  kind TEXT NOT NULL, direction TEXT NOT NULL, message_id INTEGER, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS entries_by_chat ON entries (bot_id, chat_id, seq);
CREATE TABLE IF NOT EXISTS updates (
  bot_id INTEGER NOT NULL, update_id INTEGER NOT NULL, queue_key TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
  created_at INTEGER NOT NULL, state TEXT NOT NULL, PRIMARY KEY (bot_id, update_id));
CREATE INDEX IF NOT EXISTS updates_by_state ON updates (bot_id, state, update_id);
CREATE TABLE IF NOT EXISTS attempts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, bot_id INTEGER NOT NULL, update_id INTEGER NOT NULL, at INTEGER NOT NULL,
  ms INTEGER NOT NULL, status INTEGER, error TEXT, copy INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (
  file_id TEXT PRIMARY KEY, unique_id TEXT NOT NULL, bot_id INTEGER NOT NULL, path TEXT NOT NULL,
  size INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (bot_id, path));
CREATE TABLE IF NOT EXISTS callbacks (
  id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, chat_id INTEGER NOT NULL, at INTEGER NOT NULL, answered INTEGER NOT NULL);
`;
