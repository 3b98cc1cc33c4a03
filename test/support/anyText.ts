import * as fc from "fast-check"

/** Any text: half of it ASCII, the rest from all of Unicode, lone surrogates and controls included. */
export const anyText: fc.Arbitrary<string> = fc.array(
  fc.oneof(fc.integer({ min: 0, max: 0x7f }), fc.integer({ min: 0, max: 0x10ffff }))
).map((points) => String.fromCodePoint(...points))
