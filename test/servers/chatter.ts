/**
 * A program that treats its pipes as told, one step after the other:
 *
 *     node chatter.ts step…
 *
 *   out=BYTES, err=BYTES    writes that much to stdout or stderr, waiting for whoever reads
 *   fill=BYTES              the same to stdout, but says on stderr how much was taken before no more was
 *   say=TEXT                a line on stdout
 *   env                     its environment as a line of JSON on stdout
 *   echo                    stdin to stdout until it ends
 *   close-stdin, close-stdout
 *   ignore-sigterm
 *   exit=CODE, stay         until it is killed, or two minutes have passed
 *   mark=TEXT               nothing; found in the process table
 */
import { closeSync, writeSync } from "node:fs"
import { Socket } from "node:net"
import { pipeline } from "node:stream/promises"
import { setTimeout as sleep } from "node:timers/promises"

const piece = new Uint8Array(65_536).fill(0x78)

const print = (fd: 1 | 2, bytes: Uint8Array) => {
  for (let written = 0; written < bytes.length;) written += writeSync(fd, bytes, written)
}

const flood = (fd: 1 | 2, bytes: number) => {
  for (let left = bytes; left > 0; left -= piece.length) print(fd, piece.subarray(0, left))
}

const fill = async (bytes: number) => {
  const socket = new Socket({ fd: 1, readable: false, writable: true })
  let taken = 0
  let before = -1
  const tell = () => print(2, Buffer.from(`${taken}\n`))
  const watch = setInterval(() => {
    if (taken === before) {
      clearInterval(watch)
      tell()
    }
    before = taken
  }, 100)
  while (taken < bytes) {
    await new Promise((resolve) => socket.write(piece, resolve))
    taken += piece.length
  }
  clearInterval(watch)
  tell()
}

const steps: Record<string, (value: string) => unknown> = {
  "out": (bytes) => flood(1, Number(bytes)),
  "err": (bytes) => flood(2, Number(bytes)),
  "fill": (bytes) => fill(Number(bytes)),
  "say": (text) => print(1, Buffer.from(`${text}\n`)),
  "env": () => print(1, Buffer.from(`${JSON.stringify(process.env)}\n`)),
  "echo": () => pipeline(process.stdin, process.stdout),
  "close-stdin": () => closeSync(0),
  "close-stdout": () => closeSync(1),
  "ignore-sigterm": () => process.on("SIGTERM", () => {}),
  "exit": (code) => process.exit(Number(code)),
  "stay": () => sleep(120_000),
  "mark": () => {}
}

for (const step of process.argv.slice(2)) {
  const [name = "", ...value] = step.split("=")
  const run = steps[name]
  if (run === undefined) throw new Error(`unknown step ${name}`)
  await run(value.join("="))
}
