// Checks an AsyncAPI document with the parser of its makers: one line of JSON for each finding.
const { readFileSync } = require("node:fs");
const { Parser } = require("@asyncapi/parser");

async function main() {
  const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
  const found = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }));
  const channels = document ? document.allChannels().all().map((each) => each.address()) : null;
  console.log(JSON.stringify({ found, channels }));
}

main().catch((fault) => {
  console.error(fault);
  process.exit(1);
});
