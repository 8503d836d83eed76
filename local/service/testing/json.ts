/** JSON that came over the wire of a service under test: each test reads the fields that it is about. */
// oxlint-disable-next-line typescript/no-explicit-any -- a type per answer would only repeat what the tests assert
export type Json = any;
