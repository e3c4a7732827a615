// The client for VS Code: starts `cnnc lsp`, runs commands in a terminal, and shows the drawing beside the text.

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");
const { previewPage } = require("./preview");

// A request that fails because the server is being restarted is no news.
class Client extends LanguageClient {
  handleFailedRequest(type, token, error, value, showNotification = true) {
    return super.handleFailedRequest(type, token, error, value, showNotification && this.isRunning());
  }
}

let client;

function command() {
  const [program, ...words] = vscode.workspace.getConfiguration("cnnc").get("command");
  return { program, words };
}

async function start() {
  const { program, words } = command();
  const server = { command: program, args: [...words, "lsp"] };
  client = new Client("cnnc", "cnnc", server, {
    documentSelector: [{ language: "cnn" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.cnn") },
  });
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    const install = 'pip install "cnnc[lsp]"';
    const reason = String(error?.message ?? error).replace(/\.$/, ""); // a command that cannot be run is a string
    const message = `The language server did not start: ${reason}. Install it with ${install}, or set cnnc.command.`;
    if ((await vscode.window.showErrorMessage(message, "Open Settings")) === "Open Settings")
      vscode.commands.executeCommand("workbench.action.openSettings", "cnnc.command");
  }
}

function activeNetwork() {
  const editor = vscode.window.activeTextEditor;
  return editor?.document.languageId === "cnn" ? editor : undefined;
}

// Each word is quoted for the shell by VS Code itself.
async function run(word, ...options) {
  const editor = activeNetwork();
  if (!editor) return;
  await editor.document.save();
  const { program, words } = command();
  const folder = vscode.workspace.getWorkspaceFolder(editor.document.uri) ?? vscode.TaskScope.Workspace;
  const execution = new vscode.ShellExecution(program, [...words, word, editor.document.uri.fsPath, ...options]);
  const task = new vscode.Task({ type: "cnnc", command: word }, folder, word, "cnnc", execution);
  await vscode.tasks.executeTask(task);
}

class Preview {
  constructor(document, context) {
    this.uri = document.uri;
    const column = { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true };
    this.panel = vscode.window.createWebviewPanel("cnnc.preview", "Network", column, { enableScripts: true });
    this.panel.webview.html = previewPage(this.panel.webview.cspSource);
    const watched = [
      vscode.workspace.onDidChangeTextDocument((event) => this.concerns(event.document) && this.update()),
      vscode.window.onDidChangeTextEditorSelection((event) => this.concerns(event.textEditor.document) && this.follow(event.textEditor)),
      this.panel.webview.onDidReceiveMessage((message) => (message.ready ? this.update() : this.jump(message.line))),
    ];
    this.panel.onDidDispose(() => watched.forEach((each) => each.dispose()));
    context.subscriptions.push(this.panel);
  }

  concerns(document) {
    return document.uri.toString() === this.uri.toString();
  }

  async update() {
    if (!client || this.asking) {
      this.again = true;
      return;
    }
    this.asking = true;
    try {
      const drawing = await client.sendRequest("cnnc/drawing", { textDocument: { uri: this.uri.toString() } });
      this.panel.webview.postMessage({ drawing });
    } catch {
      this.again = true; // the text has changed meanwhile: ask again
    }
    this.asking = false;
    if (this.again) {
      this.again = false;
      setTimeout(() => this.update(), 100);
    } else {
      const editor = vscode.window.visibleTextEditors.find((each) => this.concerns(each.document));
      if (editor) this.follow(editor);
    }
  }

  follow(editor) {
    this.panel.webview.postMessage({ line: editor.selection.active.line + 1 });
  }

  async jump(line) {
    const document = await vscode.workspace.openTextDocument(this.uri);
    const editor = await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.One });
    const range = document.lineAt(line - 1).range;
    editor.selection = new vscode.Selection(range.start, range.start);
    editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
  }
}

async function activate(context) {
  const add = (name, use) => context.subscriptions.push(vscode.commands.registerCommand(`cnnc.${name}`, use));
  add("check", () => run("check"));
  add("train", () => run("train"));
  add("draw", () => run("draw"));
  add("preview", () => activeNetwork() && new Preview(activeNetwork().document, context));
  add("restart", async () => {
    await client?.stop();
    await start();
  });
  await start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
