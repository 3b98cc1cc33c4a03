/** What servers answer, for a person to read. */
import type * as McpSchema from "../protocol/McpSchema.ts"
import { bytes, json, oneLine, safe } from "./text.ts"

/** Something that is not text, and can be saved. */
export interface Binary {
  readonly mimeType: string
  readonly base64: string
}

/** How many bytes a base64 text stands for. */
const sizeOf = (base64: string): number => {
  const digits = base64.replace(/[\s=]+/g, "").length
  return Math.floor(digits * 3 / 4)
}

const binary = (what: string, { base64, mimeType }: Binary): string =>
  `[${what}: ${oneLine(mimeType)}, ${bytes(sizeOf(base64))}]`

const facts = (values: ReadonlyArray<string | undefined>): string => {
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? "" : ` (${known.map(oneLine).join(", ")})`
}

/** The contents of a resource. */
export const resource = (contents: McpSchema.ResourceContents): string =>
  "text" in contents
    ? safe(contents.text)
    : binaryOf(contents).map((data) => binary(oneLine(contents.uri), data)).join("")

/** One block of content. */
export const block = (content: McpSchema.ContentBlock): string => {
  switch (content.type) {
    case "text":
      return safe(content.text)
    case "image":
    case "audio":
      return binary(content.type, { mimeType: content.mimeType, base64: content.data })
    case "resource_link":
      return `${oneLine(content.title ?? content.name)} <${oneLine(content.uri)}>` +
        facts([content.mimeType, content.size === undefined ? undefined : bytes(content.size), content.description])
    case "resource":
      return "text" in content.resource
        ? `${oneLine(content.resource.uri)}:\n${resource(content.resource)}`
        : resource(content.resource)
    default:
      return json(content)
  }
}

/** The result of a tool. Structured content is said again in the text by most servers, so it is shown only without one. */
export const toolResult = ({ content, structuredContent }: McpSchema.CallToolResult): string => {
  const blocks = content.map(block)
  const structured = structuredContent === undefined || content.some(({ type }) => type === "text") ? [] : [json(structuredContent)]
  return [...blocks, ...structured].join("\n")
}

/** The messages of a prompt. */
export const messages = (prompt: McpSchema.GetPromptResult): string =>
  prompt.messages.map(({ content, role }) => `${role}:\n${block(content)}`).join("\n\n")

/** What in a resource is not text. */
export const binaryOf = (contents: McpSchema.ResourceContents): ReadonlyArray<Binary> =>
  "blob" in contents ? [{ mimeType: contents.mimeType ?? "application/octet-stream", base64: contents.blob }] : []

/** What in blocks of content is not text. */
export const binariesOf = (content: ReadonlyArray<McpSchema.ContentBlock>): ReadonlyArray<Binary> =>
  content.flatMap((part) => {
    switch (part.type) {
      case "image":
      case "audio":
        return [{ mimeType: part.mimeType, base64: part.data }]
      case "resource":
        return binaryOf(part.resource)
      default:
        return []
    }
  })
