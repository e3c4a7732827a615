// Checks the highlighting against the compiler's tokens (cases.json), and the server through the protocol library of the client.

const fs = require("fs");
const { spawn } = require("child_process");
const oniguruma = require("vscode-oniguruma");
const { Registry, parseRawGrammar, INITIAL } = require("vscode-textmate");
const { createProtocolConnection, StreamMessageReader, StreamMessageWriter } = require("vscode-languageserver-protocol/node");

async function checkHighlighting() {
  const wasm = fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
  await oniguruma.loadWASM(wasm.buffer);
  const file = "syntaxes/cnn.tmLanguage.json";
  const registry = new Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => parseRawGrammar(fs.readFileSync(file, "utf8"), file),
  });
  const grammar = await registry.loadGrammar("source.cnn");
  let checked = 0;
  for (const { text, parts } of JSON.parse(fs.readFileSync("cases.json", "utf8"))) {
    const scopes = [];
    let state = INITIAL;
    let start = 0;
    for (const line of text.split("\n")) {
      const found = grammar.tokenizeLine(line, state);
      state = found.ruleStack;
      for (const token of found.tokens)
        for (let at = token.startIndex; at < Math.min(token.endIndex, line.length); at++) scopes[start + at] = token.scopes;
      start += line.length + 1;
    }
    for (const [begin, end, scope] of parts) {
      for (let at = begin; at < end; at++) {
        if (text[at] !== "\n" && !scopes[at]?.some((name) => name.startsWith(scope)))
          throw new Error(`${JSON.stringify(text.slice(begin, end))} has ${scopes[at]}, not ${scope}, in: ${JSON.stringify(text.slice(Math.max(0, begin - 60), end + 20))}`);
      }
      checked += 1;
    }
  }
  console.log(`highlighting: ${checked} tokens as the compiler has them`);
}

async function checkServer(python) {
  const server = spawn(python, ["-m", "cnnc", "lsp"], { stdio: ["pipe", "pipe", "inherit"] });
  const connection = createProtocolConnection(new StreamMessageReader(server.stdout), new StreamMessageWriter(server.stdin));
  const published = new Promise((resolve) => connection.onNotification("textDocument/publishDiagnostics", resolve));
  connection.listen();
  const { capabilities } = await connection.sendRequest("initialize", { processId: process.pid, rootUri: null, capabilities: {} });
  await connection.sendNotification("initialized", {});
  const text = "input 1x28x28\ncnv 8 k=3\nfc 10\n";
  const document = { uri: "untitled:check", languageId: "cnn", version: 1, text };
  await connection.sendNotification("textDocument/didOpen", { textDocument: document });
  const { diagnostics } = await published;
  if (diagnostics.length !== 1 || diagnostics[0].code !== "E111") throw new Error(JSON.stringify(diagnostics));
  const drawing = await connection.sendRequest("cnnc/drawing", { textDocument: { uri: document.uri } });
  if (drawing.isCurrent || drawing.svg) throw new Error(JSON.stringify(drawing));
  await connection.sendRequest("shutdown");
  await connection.sendNotification("exit");
  console.log(`server: ${Object.keys(capabilities).length} capabilities, "${diagnostics[0].message}"`);
}

checkHighlighting()
  .then(() => checkServer(process.argv[2]))
  .then(() => process.exit(0))
  .catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
