import { MockServer } from "mcp-connect/testing"
import { TransportSuite } from "mcp-connect/testing/suite"

// In the place of `layerTransport`: a layer that serves the fixture behind your own transport.
TransportSuite("a transport of one's own", TransportSuite.fixture(MockServer.layerTransport), {
  revision: "2026-07-28",
  atOnce: 100
})
