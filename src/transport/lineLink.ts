/** The sending side of a link that has one JSON message per line. */
import type { Outbox } from "../internal/outbox.ts"
import * as JsonRpc from "../protocol/JsonRpc.ts"
import type { Link } from "../Transport.ts"

export const make = (outbox: Outbox): Link => ({
  send: (message) => outbox.write(JSON.stringify(message)),
  backpressure: () => outbox.backpressure(),
  abandon: (id, reason) => {
    outbox.write(JSON.stringify(JsonRpc.notification("notifications/cancelled", { requestId: id, reason })))
  }
})
