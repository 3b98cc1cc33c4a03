// Runs before the scripts of package.json and may be run by any Node, however old: CommonJS and ES5 only.
var engines = require("../../package.json").engines
var required = /(\d+)\.(\d+)/.exec(engines.node)
var running = /(\d+)\.(\d+)/.exec(process.version)

var major = Number(running[1]) - Number(required[1])
var minor = Number(running[2]) - Number(required[2])

if (major < 0 || (major === 0 && minor < 0)) {
  console.error(
    [
      "",
      "mcp-connect needs Node " + engines.node + ", but its scripts are being run by Node " + process.version + ":",
      "  " + process.execPath,
      "",
      "The project brings a Node of its own, as the dev dependency `node`, and npm scripts use it once it is set up.",
      "It was not set up here: either `npm ci` has not been run, or install scripts were switched off",
      "(`--ignore-scripts`, or `ignore-scripts=true` in an .npmrc). To set it up:",
      "",
      "  npm ci --ignore-scripts=false",
      "",
      "or use a Node " + engines.node + " of your own. Then run the same command again.",
      ""
    ].join("\n")
  )
  process.exit(1)
}
