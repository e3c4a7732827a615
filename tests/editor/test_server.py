"""The language server as an editor sees it: a process that is asked over stdin and stdout."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls", reason="pygls is not installed")

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.client import LanguageClient

from tests.commands import environment, run_in_process

pytestmark = pytest.mark.long

TEXT = """net Test
input 3x32x32
a: conv 16 k=3 p=1
relu
ad a
fc
"""


class Editor:
    """A client with one open file, and the diagnostics that it was sent."""

    def __init__(self, client: LanguageClient, uri: str) -> None:
        self.client = client
        self.uri = uri
        self.document = lsp.TextDocumentIdentifier(uri)
        self.version = 0
        self.published: asyncio.Queue[lsp.PublishDiagnosticsParams] = asyncio.Queue()

    async def open(self, text: str) -> lsp.PublishDiagnosticsParams:
        self.version = 1
        self.client.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(self.uri, "cnn", 1, text))
        )
        return await self.diagnostics()

    def change(self, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        self.version += 1
        change = lsp.TextDocumentContentChangePartial(range=range_of(start, end), text=text)
        identifier = lsp.VersionedTextDocumentIdentifier(version=self.version, uri=self.uri)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(identifier, [change]))

    async def diagnostics(self) -> lsp.PublishDiagnosticsParams:
        """The next diagnostics of the newest version."""
        while True:
            found = await asyncio.wait_for(self.published.get(), 60)
            if found.uri == self.uri and found.version == self.version:
                return found

    async def hints(self) -> dict[int, Any]:
        found = await self.client.text_document_inlay_hint_async(
            lsp.InlayHintParams(self.document, range_of((0, 0), (99, 0)))
        )
        return {hint.position.line: hint.label for hint in found or []}


def range_of(start: tuple[int, int], end: tuple[int, int]) -> lsp.Range:
    return lsp.Range(lsp.Position(*start), lsp.Position(*end))


def with_editor(
    use: Callable[[Editor], Awaitable[None]],
    uri: str = "untitled:test",
    capabilities: lsp.ClientCapabilities | None = None,
) -> None:
    """Starts a server and uses it."""

    async def session() -> None:
        client = LanguageClient("test", "1")
        editor = Editor(client, uri)

        def published(params: lsp.PublishDiagnosticsParams) -> None:
            editor.published.put_nowait(params)

        client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(published)
        await client.start_io(sys.executable, "-m", "cnnc", "lsp")
        await client.initialize_async(lsp.InitializeParams(capabilities=capabilities or lsp.ClientCapabilities()))
        client.initialized(lsp.InitializedParams())
        await use(editor)
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()  # type: ignore[no-untyped-call]

    asyncio.run(session())


def test_errors_their_fixes_and_shapes_as_one_types() -> None:
    async def use(editor: Editor) -> None:
        first = await editor.open(TEXT)
        assert [(d.code, d.range.start.line) for d in first.diagnostics] == [("E111", 4), ("E202", 5)]
        helped = await editor.diagnostics()
        assert helped.diagnostics[1].message == "fc needs the number of outputs\nhelp: write `fc 16`"
        assert await editor.hints() == {2: "16x32x32, 448 parameters", 3: "16x32x32"}
        actions = await editor.client.text_document_code_action_async(
            lsp.CodeActionParams(editor.document, range_of((5, 0), (5, 1)), lsp.CodeActionContext([]))
        )
        (fix, _) = [action for action in actions or [] if isinstance(action, lsp.CodeAction)]
        assert fix.title == "Write `fc 16`"
        assert fix.edit is not None
        assert fix.edit.changes is not None
        (edit,) = fix.edit.changes[editor.uri]
        start, end = edit.range.start, edit.range.end
        editor.change((start.line, start.character), (end.line, end.character), edit.new_text)
        editor.change((4, 2), (4, 2), "d")
        assert not (await editor.diagnostics()).diagnostics
        assert (await editor.hints())[5] == "16, 262,160 parameters"

    with_editor(use)


def test_each_question_is_answered() -> None:
    async def use(editor: Editor) -> None:
        await editor.open(TEXT.replace("ad a", "add a").replace("fc\n", "fc 10\n"))
        client, document = editor.client, editor.document
        hover = await client.text_document_hover_async(lsp.HoverParams(document, lsp.Position(2, 4)))
        assert hover is not None
        assert "`3x32x32` → `16x32x32`" in str(hover.contents)
        completed = await client.text_document_completion_async(lsp.CompletionParams(document, lsp.Position(4, 4)))
        assert isinstance(completed, lsp.CompletionList)
        assert completed.items[0].label == "a"
        help = await client.text_document_signature_help_async(lsp.SignatureHelpParams(document, lsp.Position(5, 3)))
        assert help is not None
        assert help.signatures[0].label.startswith("fc OUT")
        place = await client.text_document_definition_async(lsp.DefinitionParams(document, lsp.Position(4, 4)))
        assert place == lsp.Location(editor.uri, range_of((2, 0), (2, 1)))
        uses = await client.text_document_references_async(
            lsp.ReferenceParams(lsp.ReferenceContext(True), document, lsp.Position(2, 0))
        )
        assert [use.range.start.line for use in uses or []] == [2, 4]
        shown = await client.text_document_document_highlight_async(
            lsp.DocumentHighlightParams(document, lsp.Position(2, 0))
        )
        assert len(shown or []) == 2
        changed = await client.text_document_rename_async(lsp.RenameParams(document, lsp.Position(4, 4), "skip"))
        assert changed is not None
        assert changed.changes is not None
        assert [e.new_text for e in changed.changes[editor.uri]] == ["skip", "skip"]
        renamed = await client.text_document_prepare_rename_async(lsp.PrepareRenameParams(document, lsp.Position(4, 4)))
        assert renamed == range_of((4, 4), (4, 5))
        with pytest.raises(JsonRpcException, match="reserved word"):
            await client.text_document_rename_async(lsp.RenameParams(document, lsp.Position(4, 4), "relu"))
        symbols = await client.text_document_document_symbol_async(lsp.DocumentSymbolParams(document))
        assert [symbol.name for symbol in symbols or []] == ["Test", "input", "a: conv", "relu", "add", "fc"]
        tokens = await client.text_document_semantic_tokens_full_async(lsp.SemanticTokensParams(document))
        assert tokens is not None
        assert len(tokens.data) % 5 == 0
        drawing = await client.protocol.send_request_async("cnnc/drawing", {"textDocument": {"uri": editor.uri}})
        assert drawing.isCurrent
        assert [box.lines for box in drawing.boxes][:3] == [[2], [3], [4]]
        editor.change((5, 3), (5, 5), "")
        broken = await client.protocol.send_request_async("cnnc/drawing", {"textDocument": {"uri": editor.uri}})
        assert not broken.isCurrent
        assert broken.svg == drawing.svg
        assert broken.drawnVersion == drawing.version

    with_editor(use)


def test_formatting_changes_only_lines_that_differ() -> None:
    async def use(editor: Editor) -> None:
        await editor.open("input 1x8x8\nconv   4 k = 3\nrelu\n\n\n\nfc 10\n")
        edits = await editor.client.text_document_formatting_async(
            lsp.DocumentFormattingParams(editor.document, lsp.FormattingOptions(2, True))
        )
        assert [(e.range.start.line, e.new_text) for e in edits or []] == [(1, "conv 4 k=3\n"), (4, "")]

    with_editor(use)


def test_a_change_of_an_included_file_reaches_the_files_that_include_it(tmp_path: Path) -> None:
    (tmp_path / "parts.cnn").write_text("let width = 4\n")
    main = tmp_path / "main.cnn"

    async def use(editor: Editor) -> None:
        text = 'include "parts.cnn"\ninput 1x8x8\nconv width k=3\nrelu\nfc 10\n'
        main.write_text(text)
        assert not (await editor.open(text)).diagnostics
        parts = (tmp_path / "parts.cnn").as_uri()
        editor.client.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(parts, "cnn", 1, "let width = 4\n"))
        )
        change = lsp.TextDocumentContentChangePartial(range=range_of((0, 4), (0, 9)), text="w")
        identifier = lsp.VersionedTextDocumentIdentifier(version=2, uri=parts)
        editor.client.text_document_did_change(lsp.DidChangeTextDocumentParams(identifier, [change]))
        assert (await editor.diagnostics()).diagnostics[0].code == "E203"

    with_editor(use, main.as_uri())


def test_an_editor_that_can_do_more(tmp_path: Path) -> None:
    """As VS Code and Neovim: snippets, edits of a version, UTF-8 positions, and hints that the server asks to show again."""
    (tmp_path / "parts.cnn").write_text("# é\nblock twice(w) {\n  conv w k=3\n  relu\n}\n")
    capabilities = lsp.ClientCapabilities(
        general=lsp.GeneralClientCapabilities(position_encodings=[lsp.PositionEncodingKind.Utf8]),
        workspace=lsp.WorkspaceClientCapabilities(
            workspace_edit=lsp.WorkspaceEditClientCapabilities(document_changes=True),
            inlay_hint=lsp.InlayHintWorkspaceClientCapabilities(refresh_support=True),
        ),
        text_document=lsp.TextDocumentClientCapabilities(
            completion=lsp.CompletionClientCapabilities(
                completion_item=lsp.ClientCompletionItemOptions(snippet_support=True)
            )
        ),
    )
    text = 'include "parts.cnn"\ninput 1x8x8\ntwice 4\ntwice 8\nfc 10\n  \ntrain {\n  epochs 1\n}\nnet "é"; a: relu; a: relu\n'

    async def use(editor: Editor) -> None:
        client, document = editor.client, editor.document
        refreshed = asyncio.Event()
        client.feature(lsp.WORKSPACE_INLAY_HINT_REFRESH)(lambda *_: refreshed.set())
        found = next(d for d in (await editor.open(text)).diagnostics if d.code == "E106")
        (first,) = found.related_information or []
        assert first.location == lsp.Location(editor.uri, range_of((9, 10), (9, 17)))
        assert found.range == range_of((9, 19), (9, 20))
        folds = await client.text_document_folding_range_async(lsp.FoldingRangeParams(document))
        assert [(fold.start_line, fold.end_line) for fold in folds or []] == [(6, 7)]
        (link,) = await client.text_document_document_link_async(lsp.DocumentLinkParams(document)) or []
        assert link.target == (tmp_path / "parts.cnn").as_uri()
        place = await client.text_document_definition_async(lsp.DefinitionParams(document, lsp.Position(2, 1)))
        assert place == lsp.Location((tmp_path / "parts.cnn").as_uri(), range_of((1, 6), (1, 11)))
        await client.text_document_document_highlight_async(lsp.DocumentHighlightParams(document, lsp.Position(3, 1)))
        await asyncio.wait_for(refreshed.wait(), 60)
        completed = await client.text_document_completion_async(lsp.CompletionParams(document, lsp.Position(5, 2)))
        assert isinstance(completed, lsp.CompletionList)
        conv = next(item for item in completed.items if item.label == "conv")
        assert conv.insert_text_format == lsp.InsertTextFormat.Snippet
        change = await client.text_document_rename_async(lsp.RenameParams(document, lsp.Position(2, 1), "pair"))
        assert change is not None
        documents = [d for d in change.document_changes or [] if isinstance(d, lsp.TextDocumentEdit)]
        assert {d.text_document.uri: d.text_document.version for d in documents} == {
            editor.uri: 1,
            (tmp_path / "parts.cnn").as_uri(): None,
        }

    (tmp_path / "main.cnn").write_text(text)
    with_editor(use, (tmp_path / "main.cnn").as_uri(), capabilities)


def test_a_signal_ends_the_server_while_its_client_is_there() -> None:
    process = subprocess.Popen([sys.executable, "-m", "cnnc", "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        parameters: dict[str, object] = {"processId": None, "rootUri": None, "capabilities": {}}
        message = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters}).encode()
        process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(message) + message)
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"Content-Length")
        process.terminate()
        try:
            assert process.wait(60) == 143
        finally:
            process.kill()


def test_what_the_command_says_without_pygls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygls", None)
    for name in [name for name in sys.modules if name.startswith(("pygls.", "cnnc.editor.server"))]:
        monkeypatch.delitem(sys.modules, name)
    done = run_in_process(["lsp"], tmp_path, environment())
    assert done.returncode == 6
    assert 'pip install "cnnc[lsp]"' in done.stderr
