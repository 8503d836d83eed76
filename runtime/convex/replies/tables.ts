export const replyTables = {};
