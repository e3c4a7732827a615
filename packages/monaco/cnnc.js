// Connects a Monaco editor in a web page with `cnnc lsp --port PORT`: connectNetwork(monaco, editor, "ws://127.0.0.1:PORT").
// Without other libraries. Monaco's positions count from 1, those of the protocol from 0; both count UTF-16 units.

function connectNetwork(monaco, editor, address) {
  const uri = "inmemory://network.cnn";
  const model = editor.getModel();
  const socket = new WebSocket(address);
  const waiting = new Map();
  let number = 0;

  const send = (message) => socket.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
  const notify = (method, params) => send({ method, params });
  const request = (method, params) =>
    new Promise((resolve, reject) => {
      number += 1;
      waiting.set(number, { resolve, reject });
      send({ id: number, method, params });
    });
  const document = { uri };
  const from = (position) => ({ line: position.lineNumber - 1, character: position.column - 1 });
  const range = (r) => new monaco.Range(r.start.line + 1, r.start.character + 1, r.end.line + 1, r.end.character + 1);
  const markdown = (content) => ({ value: content.value ?? content });
  const ask = (method, position) => request(`textDocument/${method}`, { textDocument: document, position: from(position) });

  socket.onmessage = async ({ data }) => {
    const message = JSON.parse(typeof data === "string" ? data : await data.text());
    if (message.id !== undefined && waiting.has(message.id)) {
      const { resolve, reject } = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.error) reject(new Error(message.error.message));
      else resolve(message.result);
    } else if (message.method === "textDocument/publishDiagnostics") {
      const markers = message.params.diagnostics.map((d) => {
        const { startLineNumber, startColumn, endLineNumber, endColumn } = range(d.range);
        const severity = d.severity === 1 ? monaco.MarkerSeverity.Error : monaco.MarkerSeverity.Warning;
        return { startLineNumber, startColumn, endLineNumber, endColumn, severity, message: d.message, code: d.code, source: "cnnc" };
      });
      monaco.editor.setModelMarkers(model, "cnnc", markers);
    }
  };

  function register(capabilities) {
    const { languages } = monaco;
    languages.registerInlayHintsProvider("cnn", {
      async provideInlayHints(_, r) {
        const window = { start: { line: r.startLineNumber - 1, character: 0 }, end: { line: r.endLineNumber, character: 0 } };
        const hints = await request("textDocument/inlayHint", { textDocument: document, range: window });
        const shown = hints.map((h) => {
          const position = { lineNumber: h.position.line + 1, column: h.position.character + 1 };
          return { position, label: h.label, tooltip: h.tooltip ?? undefined, kind: 1, paddingLeft: true };
        });
        return { hints: shown, dispose() {} };
      },
    });
    languages.registerHoverProvider("cnn", {
      async provideHover(_, position) {
        const hover = await ask("hover", position);
        return hover && { range: range(hover.range), contents: [markdown(hover.contents)] };
      },
    });
    languages.registerCompletionItemProvider("cnn", {
      triggerCharacters: [" ", "=", '"', "."],
      async provideCompletionItems(_, position) {
        const { items } = await ask("completion", position);
        const suggestions = items.map((item) => ({
          label: item.label,
          kind: languages.CompletionItemKind.Function,
          detail: item.detail ?? undefined,
          documentation: item.documentation ? markdown(item.documentation) : undefined,
          sortText: item.sortText,
          insertText: item.textEdit.newText,
          insertTextRules: item.insertTextFormat === 2 ? languages.CompletionItemInsertTextRule.InsertAsSnippet : 0,
          range: range(item.textEdit.range),
        }));
        return { suggestions };
      },
    });
    languages.registerCodeActionProvider("cnn", {
      async provideCodeActions(_, r) {
        const start = { line: r.startLineNumber - 1, character: r.startColumn - 1 };
        const end = { line: r.endLineNumber - 1, character: r.endColumn - 1 };
        const params = { textDocument: document, range: { start, end }, context: { diagnostics: [] } };
        const actions = (await request("textDocument/codeAction", params)).map((action) => ({
          title: action.title,
          kind: action.kind,
          isPreferred: action.isPreferred,
          edit: {
            edits: Object.values(action.edit.changes ?? {})
              .flat()
              .map((e) => ({ resource: model.uri, versionId: undefined, textEdit: { range: range(e.range), text: e.newText } })),
          },
        }));
        return { actions, dispose() {} };
      },
    });
    const legend = capabilities.semanticTokensProvider.legend;
    languages.registerDocumentSemanticTokensProvider("cnn", {
      getLegend: () => legend,
      async provideDocumentSemanticTokens() {
        const { data } = await request("textDocument/semanticTokens/full", { textDocument: document });
        return { data: new Uint32Array(data) };
      },
      releaseDocumentSemanticTokens() {},
    });
  }

  return new Promise((resolve, reject) => {
    socket.onerror = () => reject(new Error(`no server at ${address}`));
    socket.onopen = async () => {
      const textDocument = { completion: { completionItem: { snippetSupport: true } } };
      const { capabilities } = await request("initialize", { processId: null, rootUri: null, capabilities: { textDocument } });
      notify("initialized", {});
      register(capabilities);
      const open = { uri, languageId: "cnn", version: model.getVersionId(), text: model.getValue() };
      notify("textDocument/didOpen", { textDocument: open });
      model.onDidChangeContent((event) => {
        const contentChanges = event.changes.map((change) => ({
          range: {
            start: { line: change.range.startLineNumber - 1, character: change.range.startColumn - 1 },
            end: { line: change.range.endLineNumber - 1, character: change.range.endColumn - 1 },
          },
          text: change.text,
        }));
        notify("textDocument/didChange", { textDocument: { uri, version: event.versionId }, contentChanges });
      });
      resolve({ request, drawing: () => request("cnnc/drawing", { textDocument: document }) });
    };
  });
}
