export const scheduleTables = {};
