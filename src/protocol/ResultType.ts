/** Whether a result is the answer, or a question to be answered first (R-01 … R-05). */
import { excerptOfJson } from "../internal/plainText.ts"
import { isJsonObject, type JsonObject } from "./JsonRpc.ts"
import type { Era } from "./Revision.ts"

/** One thing a server wants to know before it can answer. */
export interface InputRequest {
  /** Under which the answer is sent back. */
  readonly key: string
  /** `elicitation/create`, `sampling/createMessage`, `roots/list`, or something unknown (MR-10). */
  readonly method: string
  readonly params: JsonObject | undefined
}

/** A server's interim result: answer the requests, then repeat the call with the answers (MR-03). */
export interface InputRequiredResult {
  /** In the server's order. May be empty: then the call is just repeated with the state. */
  readonly requests: ReadonlyArray<InputRequest>
  /** To be sent back exactly as it is (MR-04); absent means none is sent. */
  readonly requestState: string | undefined
}

export type Interpretation =
  | { readonly _tag: "Complete"; readonly result: JsonObject }
  | { readonly _tag: "InputRequired"; readonly input: InputRequiredResult }
  | { readonly _tag: "Invalid"; readonly detail: string }

const invalid = (detail: string): Interpretation => ({ _tag: "Invalid", detail })

/** The only methods whose result may ask back. */
const asksBack: ReadonlySet<string> = new Set(["tools/call", "prompts/get", "resources/read"])

const inputRequired = (result: JsonObject): Interpretation => {
  const { inputRequests, requestState } = result
  if (inputRequests === undefined && requestState === undefined) {
    return invalid("input_required with neither inputRequests nor requestState")
  }
  if (requestState !== undefined && typeof requestState !== "string") {
    return invalid("requestState: Expected string")
  }
  if (inputRequests !== undefined && !isJsonObject(inputRequests)) {
    return invalid("inputRequests: Expected an object")
  }
  const requests: Array<InputRequest> = []
  for (const [key, request] of Object.entries(inputRequests ?? {})) {
    if (!isJsonObject(request) || typeof request.method !== "string") {
      return invalid("inputRequests: Expected requests with a method")
    }
    if (request.params !== undefined && !isJsonObject(request.params)) {
      return invalid("inputRequests: Expected params to be an object")
    }
    requests.push({ key, method: request.method, params: request.params })
  }
  return { _tag: "InputRequired", input: { requests, requestState } }
}

/**
 * What a result is. Without a `resultType` it is complete, also from a modern
 * server (R-02, G-01); a type that nobody agreed on is invalid.
 * Legacy revisions have no result types, there the name means nothing.
 */
export const interpret = (method: string, result: unknown, era: Era): Interpretation => {
  if (!isJsonObject(result)) return invalid("Expected an object")
  const { resultType } = result
  if (era === "legacy" || resultType === undefined || resultType === "complete") return { _tag: "Complete", result }
  if (resultType !== "input_required") {
    return invalid(`unknown resultType ${excerptOfJson(resultType, 60)}`)
  }
  return asksBack.has(method) ? inputRequired(result) : invalid(`input_required is not allowed for ${method}`)
}
