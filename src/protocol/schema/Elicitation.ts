/** Elicitation: a server asks the user something, by a form or by sending them to a page (EL-01, EL-02). */
import * as Schema from "effect/Schema"
import { isJsonObject } from "../JsonRpc.ts"
import { type Decoder, decoder, JsonObject } from "./Decoder.ts"

const described = {
  title: Schema.optionalKey(Schema.String),
  description: Schema.optionalKey(Schema.String)
}

const Titled = Schema.Array(Schema.Struct({ const: Schema.String, title: Schema.optionalKey(Schema.String) }))

/** Free text, or one choice of several: by `enum` (with `enumNames` for people, an old way) or by `oneOf`. */
export const StringField = Schema.Struct({
  ...described,
  type: Schema.Literal("string"),
  minLength: Schema.optionalKey(Schema.Finite),
  maxLength: Schema.optionalKey(Schema.Finite),
  /** `email`, `uri`, `date` and `date-time` have a meaning. */
  format: Schema.optionalKey(Schema.String),
  pattern: Schema.optionalKey(Schema.String),
  enum: Schema.optionalKey(Schema.Array(Schema.String)),
  enumNames: Schema.optionalKey(Schema.Array(Schema.String)),
  oneOf: Schema.optionalKey(Titled),
  default: Schema.optionalKey(Schema.String)
})
export interface StringField extends Schema.Schema.Type<typeof StringField> {}

const numeric = {
  ...described,
  minimum: Schema.optionalKey(Schema.Finite),
  maximum: Schema.optionalKey(Schema.Finite),
  default: Schema.optionalKey(Schema.Finite)
}

export const NumberField = Schema.Struct({ ...numeric, type: Schema.Literal("number") })
export interface NumberField extends Schema.Schema.Type<typeof NumberField> {}

export const IntegerField = Schema.Struct({ ...numeric, type: Schema.Literal("integer") })
export interface IntegerField extends Schema.Schema.Type<typeof IntegerField> {}

export const BooleanField = Schema.Struct({
  ...described,
  type: Schema.Literal("boolean"),
  default: Schema.optionalKey(Schema.Boolean)
})
export interface BooleanField extends Schema.Schema.Type<typeof BooleanField> {}

/** Any number of choices. */
export const MultiSelectField = Schema.Struct({
  ...described,
  type: Schema.Literal("array"),
  items: Schema.Union([
    Schema.Struct({ type: Schema.optionalKey(Schema.Literal("string")), enum: Schema.Array(Schema.String) }),
    Schema.Struct({ anyOf: Titled }),
    Schema.Struct({ oneOf: Titled })
  ]),
  minItems: Schema.optionalKey(Schema.Finite),
  maxItems: Schema.optionalKey(Schema.Finite),
  default: Schema.optionalKey(Schema.Array(Schema.String))
})
export interface MultiSelectField extends Schema.Schema.Type<typeof MultiSelectField> {}

/** The JSON Schema of one field of a form. */
export const FieldSchema: Schema.Codec<FieldSchema> = Schema.Union([
  StringField,
  NumberField,
  IntegerField,
  BooleanField,
  MultiSelectField
]).annotate({ expected: "a field of type string, number, integer, boolean or array" })
export type FieldSchema = StringField | NumberField | IntegerField | BooleanField | MultiSelectField

/** The JSON Schema of a form: a flat object of primitives (EL-02). */
export const ElicitationSchema = Schema.Struct({
  type: Schema.Literal("object"),
  properties: Schema.Record(Schema.String, FieldSchema),
  required: Schema.optionalKey(Schema.Array(Schema.String))
})
export interface ElicitationSchema extends Schema.Schema.Type<typeof ElicitationSchema> {}

/** Asks for a form to be filled in. */
export const FormElicitation = Schema.Struct({
  mode: Schema.optionalKey(Schema.Literal("form")),
  message: Schema.String,
  requestedSchema: ElicitationSchema,
  _meta: Schema.optionalKey(JsonObject)
})
export interface FormElicitation extends Schema.Schema.Type<typeof FormElicitation> {}

/** Asks to send the user to a page (EL-06). */
export const UrlElicitation = Schema.Struct({
  mode: Schema.Literal("url"),
  message: Schema.String,
  url: Schema.String,
  /** 2025-11-25 only. */
  elicitationId: Schema.optionalKey(Schema.String),
  _meta: Schema.optionalKey(JsonObject)
})
export interface UrlElicitation extends Schema.Schema.Type<typeof UrlElicitation> {}

/** The params of `elicitation/create`; `mode` tells which. */
export type ElicitRequest = FormElicitation | UrlElicitation

/** The value of a field in an answer (EL-03). */
export type FieldValue = string | number | boolean | ReadonlyArray<string>

const decodeForm: Decoder<FormElicitation> = decoder(FormElicitation)
const decodeUrl: Decoder<UrlElicitation> = decoder(UrlElicitation)

/** `elicitation/create`. Without a mode it is a form (EL-01). */
export const decodeElicitRequest: Decoder<ElicitRequest> = (params) =>
  isJsonObject(params) && params.mode === "url" ? decodeUrl(params) : decodeForm(params)
