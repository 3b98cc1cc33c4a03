/** How long it takes until a server's tools are listed, beginning with nothing, in the revision that client and server know of each other. */
import { connecting } from "./connecting.ts"

export const figure = connecting({
  name: "connect",
  title: "Connect and list",
  headlines: [{ title: "connect and list, ms", case: "1 server", metric: "millis" }],
  targets: [{ case: "1 server", metric: "millis", of: "raw", atMost: 1.3 }]
})
