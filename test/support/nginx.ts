/** A reverse proxy as operators leave it: everything buffered, HTTP/1.0 to what is behind it, the server below a path. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as path from "node:path"
import { freePort, startOn } from "./httpServer.ts"

const configuration = (folder: string, port: number, upstream: string) => `
  daemon off;
  master_process off;
  pid ${folder}/nginx.pid;
  error_log stderr;
  events {}
  http {
    access_log off;
    ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join("\n    ")}
    server {
      listen 127.0.0.1:${port};
      location /tools/ {
        proxy_pass ${upstream}/;
      }
    }
  }
`

/** Gives the URL below which the upstream is found. */
export const startNginx = Effect.fnUntraced(function*(upstream: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* Effect.orDie(fs.makeTempDirectoryScoped({ prefix: "mcp-connect-nginx-" }))
  const port = yield* freePort
  const file = path.join(folder, "nginx.conf")
  yield* Effect.orDie(fs.writeFileString(file, configuration(folder, port, upstream)))
  // Where Debian keeps it; it is on no ordinary user's PATH.
  const proxy = yield* startOn(port, "/usr/sbin/nginx", ["-e", "stderr", "-p", folder, "-c", file])
  return `${proxy}/tools`
})
