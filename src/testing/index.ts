/** What programs that use mcp-connect are tested with. */
export * as Cassette from "./Cassette.ts"
export * as MockServer from "./MockServer.ts"
export * as MockTransport from "./MockTransport.ts"
