"""The language server: speaks the protocol, and asks the other modules of this package.

In: messages of an editor. Out: answers about the newest text. A change is analysed as soon as no other message waits; an
answer for a text that has changed meanwhile is refused (ContentModified), never given. Which edits of help lines work is
found out in a thread while nobody types, and the diagnostics are then shown again with their help.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from lsprotocol import types as lsp
from pygls import uris
from pygls.exceptions import JsonRpcContentModified
from pygls.lsp.server import LanguageServer

from cnnc.diagnostics import CnncError, Diagnostic, Edit, Source, Span
from cnnc.editor import colours, completion, describe, fixes, hints, names, outline, preview, signature
from cnnc.editor.analysis import Analysis
from cnnc.editor.convert import COMPLETION_KINDS, SEVERITIES, SYMBOL_KINDS, token_data
from cnnc.editor.open_files import OpenFile, OpenFiles
from cnnc.editor.positions import Positions
from cnnc.language.format import format_text
from cnnc.network import Network

SETTLE = 0.004  # seconds without another message before a change is analysed
MOST_UNCOLLECTED = 500  # analyses, a few kilobytes of messages each
QUIET = 0.25  # seconds without a change before edits are tried

TextDocument = lsp.TextDocumentIdentifier | lsp.VersionedTextDocumentIdentifier


class _Interrupted(Exception):
    """The text has changed while its edits were tried."""


class _Tried(NamedTuple):
    """The diagnostics of a version with the edits that work."""

    version: int
    diagnostics: tuple[Diagnostic, ...]


class Server(LanguageServer):
    """The server with its open files."""

    def __init__(self) -> None:
        from importlib.metadata import version

        super().__init__("cnnc", version("cnnc"), max_workers=2)
        self.open_files = OpenFiles()
        self.tried: dict[str, _Tried] = {}
        self.trying: dict[str, asyncio.Task[None]] = {}
        self.publishing: dict[str, asyncio.TimerHandle] = {}
        self.drawings: dict[str, dict[str, Any]] = {}
        self.executor = ThreadPoolExecutor(1)
        self.collecting: asyncio.TimerHandle | None = None
        self.uncollected = 0
        logging.getLogger("pygls.protocol.json_rpc").addFilter(_is_error)
        gc.disable()  # in the middle of an analysis it takes a fifth of the time and frees nothing

    # --- texts

    def opened(self, document: TextDocument) -> OpenFile:
        """The open file of a message. Raises ContentModified if it is not open."""
        file = self.open_files.files.get(document.uri)
        if file is None:
            raise JsonRpcContentModified(f"{document.uri} is not open")
        return file

    async def current(self, document: TextDocument) -> tuple[OpenFile, Analysis]:
        """The open file of a request and its analysis. Raises ContentModified if it changes before it is analysed."""
        file = self.opened(document)
        version = file.version
        if file.analysis is None:
            await asyncio.sleep(SETTLE)
            if self.open_files.files.get(document.uri) is not file or file.version != version:
                raise JsonRpcContentModified("the text has changed")
        return file, self.open_files.analysis_of(file)

    def changed(self, file: OpenFile, others: Sequence[OpenFile] = ()) -> None:
        """Analyses a file once no other message waits, and then the other files that read it."""
        if self.collecting is not None:
            self.collecting.cancel()
        for each in (file, *others):
            self.tried.pop(each.key, None)
            task = self.trying.pop(each.key, None)
            if task is not None:
                task.cancel()
            handle = self.publishing.pop(each.key, None)
            if handle is not None:
                handle.cancel()
            delay = SETTLE if each is file else 20 * SETTLE
            self.publishing[each.key] = asyncio.get_running_loop().call_later(delay, self.publish, each)

    def collect_garbage(self) -> None:
        """Frees what refers to itself, such as messages, while nobody types. Analyses do not: they are freed at once."""
        self.uncollected = 0
        futures = self.protocol._request_futures  # pygls 2.1 keeps those of notifications for ever
        for key in [key for key, future in futures.items() if future.done()]:
            del futures[key]
        gc.collect()

    def publish(self, file: OpenFile) -> None:
        """Sends the diagnostics of a file, and tries their edits later."""
        self.publishing.pop(file.key, None)
        if self.open_files.files.get(file.key) is not file:
            return
        analysis = self.open_files.analysis_of(file)
        has_edits = any(d.edits for d in analysis.network.diagnostics)
        self.send_diagnostics(file, analysis, analysis.network.diagnostics, with_help=not has_edits)
        if has_edits:
            self.trying[file.key] = asyncio.ensure_future(self.try_edits(file, analysis, QUIET))
        else:
            self.tried[file.key] = _Tried(file.version, analysis.network.diagnostics)
        self.uncollected += 1
        delay = 4 * QUIET if self.uncollected < MOST_UNCOLLECTED else 0
        self.collecting = asyncio.get_running_loop().call_later(delay, self.collect_garbage)

    async def try_edits(self, file: OpenFile, analysis: Analysis, delay: float) -> None:
        """Finds the edits that work, and sends the diagnostics again with their help."""
        await asyncio.sleep(delay)
        version = file.version

        def is_stale() -> bool:
            return self.open_files.files.get(file.key) is not file or file.version != version

        try:
            loop = asyncio.get_running_loop()
            tried = await loop.run_in_executor(self.executor, _with_working_edits, analysis.network, is_stale)
        except _Interrupted:
            return
        if not is_stale() and file.analysis is analysis:
            self.tried[file.key] = _Tried(version, tried.diagnostics)
            self.send_diagnostics(file, analysis, tried.diagnostics, with_help=True)

    async def tried_diagnostics(self, file: OpenFile, analysis: Analysis) -> tuple[Diagnostic, ...]:
        """The diagnostics with the edits that work. Raises ContentModified if the text changes first."""
        version = file.version
        tried = self.tried.get(file.key)
        if tried is None or tried.version != version:
            task = self.trying.pop(file.key, None)
            if task is not None:
                task.cancel()
            await self.try_edits(file, analysis, 0)
            tried = self.tried.get(file.key)
        if tried is None or tried.version != version or file.version != version:
            raise JsonRpcContentModified("the text has changed")
        return tried.diagnostics

    def send_diagnostics(
        self, file: OpenFile, analysis: Analysis, diagnostics: Sequence[Diagnostic], with_help: bool
    ) -> None:
        """Sends the diagnostics of one version."""
        items = [self.diagnostic(p) for p in fixes.problems(analysis, diagnostics, with_help)]
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(file.key, items, file.version))

    # --- conversion

    def positions(self, source: Source) -> Positions:
        """The line table of a source."""
        return self.open_files.positions_in(source.name, source.text)

    def range(self, span: Span) -> lsp.Range:
        """A span as the protocol has it."""
        positions = self.positions(span.source)
        start, end = positions.position(span.start), positions.position(span.end)
        return lsp.Range(lsp.Position(*start), lsp.Position(*end))

    def uri(self, source: Source) -> str:
        """The URI of a source."""
        file = self.open_files.at_path(source.name)
        if file is not None:
            return file.key
        unsaved = next((f.key for f in self.open_files.files.values() if f.text is source.text), "")
        return unsaved or uris.from_fs_path(str(Path(source.name).resolve())) or source.name

    def location(self, span: Span) -> lsp.Location:
        """A span with its file."""
        return lsp.Location(self.uri(span.source), self.range(span))

    def diagnostic(self, problem: fixes.Problem) -> lsp.Diagnostic:
        """A problem as the protocol has it."""
        d = problem.diagnostic
        related = [lsp.DiagnosticRelatedInformation(self.location(n.span), n.text) for n in problem.related]
        return lsp.Diagnostic(
            self.range(problem.span),
            problem.message,
            SEVERITIES[d.severity],
            code=d.code,
            source="cnnc",
            tags=[lsp.DiagnosticTag.Unnecessary] if d.code in ("W101", "W102") else None,
            related_information=related or None,
        )

    def offset(self, file: OpenFile, position: lsp.Position) -> int:
        """The offset of a position in an open file."""
        return self.open_files.positions_of(file).offset(position.line, position.character)

    def workspace_edit(self, edits: Sequence[Edit]) -> lsp.WorkspaceEdit:
        """Edits as the protocol has them, with the versions of open files."""
        changes: dict[str, list[lsp.TextEdit | lsp.AnnotatedTextEdit | lsp.SnippetTextEdit]] = {}
        for edit in edits:
            changes.setdefault(self.uri(edit.span.source), []).append(lsp.TextEdit(self.range(edit.span), edit.text))
        documents = []
        for uri, items in changes.items():
            file = self.open_files.files.get(uri)
            version = file.version if file is not None else None
            identifier = lsp.OptionalVersionedTextDocumentIdentifier(uri, version)
            documents.append(lsp.TextDocumentEdit(identifier, items))
        capabilities = self.client_capabilities.workspace
        edit_support = capabilities.workspace_edit if capabilities is not None else None
        if edit_support is not None and edit_support.document_changes:
            return lsp.WorkspaceEdit(document_changes=list(documents))
        plain = {d.text_document.uri: [e for e in d.edits if isinstance(e, lsp.TextEdit)] for d in documents}
        return lsp.WorkspaceEdit(changes=plain)

    def follow(self, file: OpenFile, analysis: Analysis, offset: int) -> None:
        """The cursor is at an offset: on a block call, the lines of the block show the shapes of that call."""
        placed = analysis.statement_at(offset)
        if placed is None:
            return
        visit = analysis.visit(placed.statement.span, file.calls)
        if visit is None:
            return
        inner = [c.name for c in analysis.trace.calls if c.span == placed.statement.span]
        calls = next(((*visit.path, name) for name in inner if name.startswith(".".join(visit.path[-1:]))), None)
        if calls is not None and calls != file.calls:
            file.calls = calls
            workspace = self.client_capabilities.workspace
            if workspace is not None and workspace.inlay_hint is not None and workspace.inlay_hint.refresh_support:
                self.workspace_inlay_hint_refresh(None)


def _is_error(record: logging.LogRecord) -> bool:
    """Whether what pygls logs is an error: an answer that is refused because the text has changed is none."""
    return record.exc_info is None or not isinstance(record.exc_info[1], JsonRpcContentModified)


def _with_working_edits(network: Network, is_stale: Callable[[], bool]) -> Network:
    """The network with the edits that work. Raises _Interrupted once `is_stale`."""
    again = network.check_again
    if again is None:
        return network

    def check_again(texts: Mapping[Source, str]) -> Sequence[Diagnostic]:
        if is_stale():
            raise _Interrupted
        return again(texts)

    return network.with_working_edits(check_again)


def _applied(text: str, changes: Sequence[lsp.TextDocumentContentChangeEvent], encoding: str) -> str:
    """The text after the changes of a message, one after the other."""
    for change in changes:
        if isinstance(change, lsp.TextDocumentContentChangePartial):
            positions = Positions(text, encoding)
            start = positions.offset(change.range.start.line, change.range.start.character)
            end = positions.offset(change.range.end.line, change.range.end.character)
            text = text[:start] + change.text + text[max(start, end) :]
        else:
            text = change.text
    return text


def make_server() -> Server:
    """The server with all its features."""
    server = Server()
    _add_texts(server)
    _add_questions(server)
    _add_names(server)
    _add_changes(server)
    _add_views(server)
    return server


def _add_texts(server: Server) -> None:
    """Opening, changing and closing texts."""

    @server.feature(lsp.INITIALIZE)
    def initialize(ls: Server, params: lsp.InitializeParams) -> None:
        general = params.capabilities.general
        offered = (general.position_encodings if general is not None else None) or ()
        ls.open_files.encoding = "utf-32" if lsp.PositionEncodingKind.Utf32 in offered else "utf-16"
        if ls.open_files.encoding == "utf-16" and lsp.PositionEncodingKind.Utf16 not in offered and offered:
            ls.open_files.encoding = "utf-8"

    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        path = (uris.to_fs_path(document.uri) or "") if document.uri.startswith("file:") else ""
        file = ls.open_files.open(document.uri, path, document.text, document.version)
        ls.changed(file, ls.open_files.forget(path))

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
        file = ls.open_files.files.get(params.text_document.uri)
        if file is None:
            return
        text = _applied(file.text, params.content_changes, ls.open_files.encoding)
        ls.open_files.change(file.key, text, params.text_document.version)
        ls.changed(file, ls.open_files.forget(file.path))

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
        key = params.text_document.uri
        for file in ls.open_files.close(key):
            ls.changed(file)
        for mapping in (ls.tried, ls.drawings):
            mapping.pop(key, None)
        task = ls.trying.pop(key, None)
        if task is not None:
            task.cancel()
        ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(key, []))

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_files(ls: Server, params: lsp.DidChangeWatchedFilesParams) -> None:
        for event in params.changes:
            for file in ls.open_files.forget(uris.to_fs_path(event.uri) or ""):
                ls.changed(file)


def _add_questions(server: Server) -> None:
    """What one asks about a place: hints, hover, completion, signature."""

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    async def inlay_hint(ls: Server, params: lsp.InlayHintParams) -> list[lsp.InlayHint]:
        file, analysis = await ls.current(params.text_document)
        first, end = ls.offset(file, params.range.start), ls.offset(file, params.range.end)
        positions = ls.open_files.positions_of(file)
        return [
            lsp.InlayHint(
                lsp.Position(*positions.position(hint.offset)),
                hint.text,
                lsp.InlayHintKind.Type,
                tooltip=hint.tooltip or None,
                padding_left=True,
            )
            for hint in hints.hints(analysis, file.calls, first, end)
        ]

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    async def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
        file, analysis = await ls.current(params.text_document)
        found = describe.describe(analysis, ls.offset(file, params.position), file.calls)
        if found is None:
            return None
        return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, found.markdown), ls.range(found.span))

    options = lsp.CompletionOptions(trigger_characters=[" ", "=", '"', "."])

    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, options)
    async def complete(ls: Server, params: lsp.CompletionParams) -> lsp.CompletionList:
        file, analysis = await ls.current(params.text_document)
        offset = ls.offset(file, params.position)
        files: list[str] = []
        if file.path and file.text.rfind('"', 0, offset) > file.text.rfind("\n", 0, offset):
            files = _sources_beside(file.path)
        items = completion.complete(analysis, offset, files, file.calls)
        document = ls.client_capabilities.text_document
        support = document.completion.completion_item if document is not None and document.completion else None
        snippets = bool(support is not None and support.snippet_support)
        return lsp.CompletionList(False, [_item(ls, n, item, snippets) for n, item in enumerate(items)])

    signature_options = lsp.SignatureHelpOptions(trigger_characters=[" ", "="], retrigger_characters=["="])

    @server.feature(lsp.TEXT_DOCUMENT_SIGNATURE_HELP, signature_options)
    async def signature_help(ls: Server, params: lsp.SignatureHelpParams) -> lsp.SignatureHelp | None:
        file, analysis = await ls.current(params.text_document)
        found = signature.signature_at(analysis, ls.offset(file, params.position))
        if found is None:
            return None
        parameters = [lsp.ParameterInformation(label, text or None) for label, text in found.parameters]
        shown = lsp.SignatureInformation(found.label, found.documentation or None, parameters)
        active = found.active if found.active is not None else len(parameters)
        return lsp.SignatureHelp([shown], 0, active)


def _sources_beside(path: str) -> list[str]:
    """The .cnn files in the folder of a file and in folders below, relative to it."""
    folder = Path(path).parent
    found = [p for pattern in ("*.cnn", "*/*.cnn") for p in sorted(folder.glob(pattern)) if p != Path(path)]
    return [p.relative_to(folder).as_posix() for p in found[:200]]


def _item(ls: Server, number: int, item: completion.Item, snippets: bool) -> lsp.CompletionItem:
    is_snippet = snippets and bool(item.snippet)
    return lsp.CompletionItem(
        item.text,
        kind=COMPLETION_KINDS[item.kind],
        detail=item.detail or None,
        documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, item.markdown) if item.markdown else None,
        sort_text=f"{number:04}",
        insert_text_format=lsp.InsertTextFormat.Snippet if is_snippet else lsp.InsertTextFormat.PlainText,
        text_edit=lsp.TextEdit(ls.range(item.span), item.snippet if is_snippet else item.text),
    )


def _add_names(server: Server) -> None:
    """Definition, references, highlights, renaming."""

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    async def definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
        file, analysis = await ls.current(params.text_document)
        offset = ls.offset(file, params.position)
        included = names.included_at(analysis, offset)
        if included is not None:
            uri = ls.uri(Source(included, ""))
            return lsp.Location(uri, lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0)))
        found = names.definition_at(analysis, offset)
        return ls.location(found[1].span) if found is not None else None

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    async def references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
        file, analysis = await ls.current(params.text_document)
        found = names.definition_at(analysis, ls.offset(file, params.position))
        if found is None:
            return []
        spans = names.references(_with_others(ls, analysis, found[1]), found[1], params.context.include_declaration)
        return [ls.location(span) for span in spans]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    async def highlight(ls: Server, params: lsp.DocumentHighlightParams) -> list[lsp.DocumentHighlight]:
        file, analysis = await ls.current(params.text_document)
        offset = ls.offset(file, params.position)
        ls.follow(file, analysis, offset)
        found = names.definition_at(analysis, offset)
        spans = names.references([analysis], found[1]) if found is not None else []
        return [lsp.DocumentHighlight(ls.range(span)) for span in spans if span.source is analysis.source]

    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepare_rename(ls: Server, params: lsp.PrepareRenameParams) -> lsp.Range | None:
        file, analysis = await ls.current(params.text_document)
        found = names.definition_at(analysis, ls.offset(file, params.position))
        return ls.range(found[0]) if found is not None else None

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    async def rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
        file, analysis = await ls.current(params.text_document)
        found = names.definition_at(analysis, ls.offset(file, params.position))
        if found is None:
            return None
        analyses = _with_others(ls, analysis, found[1])

        def again(texts: Mapping[str, str]) -> list[Analysis]:
            by_path = {str(Path(name).resolve()): text for name, text in texts.items()}
            mains = [a.trace.file.source for a in analyses]
            return [ls.open_files.analyse_network(m.name, texts.get(m.name, m.text), by_path) for m in mains]

        try:
            edits = names.rename(analyses, found[1], params.new_name, again)
        except CnncError as error:
            from pygls.exceptions import JsonRpcInvalidParams

            raise JsonRpcInvalidParams(error.diagnostics[0].message) from None
        return ls.workspace_edit(edits)


def _with_others(ls: Server, analysis: Analysis, definition: names.Definition) -> list[Analysis]:
    """The analysis, and those of other files that include the file of a definition."""
    path = definition.span.source.name
    found = [analysis]
    if not Path(path).is_file() and ls.open_files.at_path(path) is None:
        return found
    for other in ls.open_files.neighbours(path):
        if str(other.resolve()) != str(Path(analysis.trace.file.source.name).resolve()):
            try:
                outer = ls.open_files.analyse_network(str(other), ls.open_files.read(other))
            except CnncError:
                continue
            if any(
                f.source.name == path or Path(f.source.name).resolve() == Path(path).resolve()
                for f in outer.trace.included.values()
            ):
                found.append(outer)
    return found


def _add_changes(server: Server) -> None:
    """Code actions and formatting."""
    kinds = [lsp.CodeActionKind.QuickFix, lsp.CodeActionKind.SourceFixAll]

    @server.feature(lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=kinds))
    async def code_action(ls: Server, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        file, analysis = await ls.current(params.text_document)
        wanted = params.context.only
        if not analysis.network.diagnostics:
            return []
        diagnostics = await ls.tried_diagnostics(file, analysis)
        actions = []
        if wanted is None or any(
            str(kind) in ("quickfix", "") or kind == lsp.CodeActionKind.QuickFix for kind in wanted
        ):
            start, end = ls.offset(file, params.range.start), ls.offset(file, params.range.end)
            actions += [_action(ls, analysis, fix) for fix in fixes.fixes(analysis, diagnostics, start, end)]
        if wanted is None or any("source" in str(getattr(kind, "value", kind)) for kind in wanted):
            edits = fixes.fix_all(diagnostics)
            if edits:
                title, kind = "Apply all fixes", lsp.CodeActionKind.SourceFixAll
                actions.append(lsp.CodeAction(title, kind, edit=ls.workspace_edit(edits)))
        return actions

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    async def formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        file, _ = await ls.current(params.text_document)
        try:
            formatted = format_text(Source(file.path or "<unsaved>", file.text))
        except CnncError:
            return []
        return _line_edits(file.text, formatted, ls.open_files.positions_of(file))


def _action(ls: Server, analysis: Analysis, fix: fixes.Change) -> lsp.CodeAction:
    problem = (
        next((p for p in fixes.problems(analysis, [fix.diagnostic], with_help=True)), None) if fix.diagnostic else None
    )
    diagnostics = [ls.diagnostic(problem)] if problem is not None else None
    return lsp.CodeAction(
        fix.title,
        lsp.CodeActionKind.QuickFix,
        diagnostics,
        is_preferred=fix.preferred or None,
        edit=ls.workspace_edit(fix.edits),
    )


def _line_edits(before: str, after: str, positions: Positions) -> list[lsp.TextEdit]:
    """The changes between two texts, in whole lines, so that the cursor and folds stay where nothing changes."""
    from difflib import SequenceMatcher

    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    edits = []
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            place = lsp.Range(
                lsp.Position(*positions.position(starts[a0])), lsp.Position(*positions.position(starts[a1]))
            )
            edits.append(lsp.TextEdit(place, "".join(new[b0:b1])))
    return edits


def _add_views(server: Server) -> None:
    """Views of the whole file: outline, folding, colours, links, the drawing."""

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        file, analysis = await ls.current(params.text_document)
        return [_symbol(ls, symbol) for symbol in outline.outline(analysis, file.calls)]

    @server.feature(lsp.TEXT_DOCUMENT_FOLDING_RANGE)
    async def folding(ls: Server, params: lsp.FoldingRangeParams) -> list[lsp.FoldingRange]:
        _, analysis = await ls.current(params.text_document)
        comment = lsp.FoldingRangeKind.Comment
        return [
            lsp.FoldingRange(fold.first - 1, fold.last - 1, kind=comment if fold.is_comment else None)
            for fold in outline.folds(analysis)
        ]

    legend = lsp.SemanticTokensLegend(list(colours.TYPES), list(colours.MODIFIERS))

    @server.feature(lsp.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, legend)
    async def tokens(ls: Server, params: lsp.SemanticTokensParams) -> lsp.SemanticTokens:
        file, analysis = await ls.current(params.text_document)
        return lsp.SemanticTokens(token_data(colours.colours(analysis), ls.open_files.positions_of(file)))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_LINK)
    async def links(ls: Server, params: lsp.DocumentLinkParams) -> list[lsp.DocumentLink]:
        _, analysis = await ls.current(params.text_document)
        return [
            lsp.DocumentLink(ls.range(span), ls.uri(included.source))
            for span, included in analysis.trace.included.items()
            if span.source is analysis.source
        ]

    @server.feature("cnnc/drawing")
    async def drawing(ls: Server, params: Any) -> dict[str, Any]:
        document = lsp.TextDocumentIdentifier(params.textDocument.uri)
        file, analysis = await ls.current(document)
        drawn = preview.preview(analysis, getattr(params, "depth", None))
        if drawn is not None:
            boxes = [box._asdict() for box in drawn.boxes]
            drawn_at = {"svg": drawn.svg, "width": drawn.width, "height": drawn.height, "boxes": boxes}
            ls.drawings[file.key] = {**drawn_at, "drawnVersion": file.version}
        last = ls.drawings.get(file.key, {"svg": "", "width": 0, "height": 0, "boxes": [], "drawnVersion": None})
        return {**last, "version": file.version, "isCurrent": drawn is not None}


def _symbol(ls: Server, symbol: outline.Symbol) -> lsp.DocumentSymbol:
    children = [_symbol(ls, child) for child in symbol.children]
    kind = SYMBOL_KINDS[symbol.kind]
    return lsp.DocumentSymbol(
        symbol.name, kind, ls.range(symbol.span), ls.range(symbol.selection), symbol.detail or None, children=children
    )
