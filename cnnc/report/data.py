"""What training would see of a data set, in words and tables for `cnnc data`.

In: the plain data of `cnnc.data.survey.survey`. Out: text, and notes about what probably needs attention: examples that are in
two shares, classes with few examples, imbalance, missing classes, constant channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnnc.core.caller import is_command_line
from cnnc.core.listing import listed
from cnnc.report.layout import ColumnLayout, Layout, fitted

Data = Mapping[str, Any]

FEW = 20
"""Classes with fewer training examples than these are named."""

IMBALANCE = 3
"""A largest class of this many times the smallest is named."""

_LISTED = 5
_EQUAL = 3
"""Of more equal examples, the first are named."""

_CLASSES = 40
_CHANNELS = 16
"""Of more channels, one mean and one deviation are shown."""

_NO_LIMIT = Layout()


def with_conclusions(survey: Data) -> dict[str, Any]:
    """The survey with `normalize` for each input, `imbalance` and `few` for each target, and `notes`."""
    inputs = [{**entry, "normalize": normalize_line(entry)} for entry in survey["inputs"]]
    targets = [{**entry, "imbalance": imbalance(entry), "few": few(entry)} for entry in survey["targets"]]
    complete = {**survey, "inputs": inputs, "targets": targets}
    return {**complete, "notes": list(_notes(complete))}


# ---- conclusions


def normalize_line(entry: Data) -> str | None:
    """The layer `normalize` that gives the training share a mean of 0 and a deviation of 1; None for words and other integers."""
    training = _first(entry["shares"])
    is_fed_to_embed = entry["kind"] != "values" or entry["dtype"] == "int64"
    if is_fed_to_embed or training["mean"] is None or not training["overall_deviation"]:
        return None
    means, deviations = _per_channel(training)
    return f"normalize mean={_numbers(means)} std={_numbers([d or 1.0 for d in deviations])}"


def _per_channel(facts: Data) -> tuple[list[float], list[float]]:
    if len(facts["mean"]) <= _CHANNELS:
        return facts["mean"], facts["deviation"]
    return [facts["overall_mean"]], [facts["overall_deviation"]]


def _numbers(values: Sequence[float]) -> str:
    texts = [f"{value:.4g}" for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def imbalance(target: Data) -> float | None:
    """The largest class of the training share, as a multiple of the smallest one that has examples; None without classes."""
    counts = [count for count in _training_counts(target).values() if count]
    return max(counts) / min(counts) if len(counts) > 1 else None


def few(target: Data) -> list[str]:
    """The classes with fewer than `FEW` training examples, the rarest first; [] where examples have no label of their own."""
    if target["kind"] != "labels":
        return []
    counts = _training_counts(target)
    return sorted((name for name, count in counts.items() if count < FEW), key=lambda name: counts[name])


def _training_counts(target: Data) -> dict[str, int]:
    return {entry["name"]: entry["training"] for entry in target["classes"]}


def _notes(survey: Data) -> Iterator[str]:
    yield from _duplicate_notes(survey["duplicates"])
    for target in survey["targets"]:
        yield from _class_notes(target, survey["shares"])
    for entry in survey["inputs"]:
        yield from _input_notes(entry)


def _duplicate_notes(duplicates: Data) -> Iterator[str]:
    for pair in duplicates["across"]:
        if pair["examples"]:
            count = _counted(pair["examples"], f"{pair['of']} example")
            verb = "are" if pair["examples"] != 1 else "is"
            yield f"{count} {verb} also in {pair['also_in']}, so the {pair['of']} score counts what was seen before"
    for pair in duplicates["near"]["across"] if duplicates["near"] else ():
        if pair["examples"]:
            count = _counted(pair["examples"], f"{pair['of']} image")
            verb, one = ("look", "some") if pair["examples"] != 1 else ("looks", "one")
            yield f"{count} {verb} almost like {one} in {pair['also_in']}: the same one resized, brightened or written anew?"
    if duplicates["different_labels"]:
        yield f"{_counted(duplicates['different_labels'], 'example')} equal others that have another label"


def _class_notes(target: Data, shares: Data) -> Iterator[str]:
    for share, facts in shares.items():
        missing = [entry["name"] for entry in target["classes"] if not entry[share]]
        if missing and facts["examples"]:
            yield f"{share} has no example of {listed(missing, _LISTED)}"
    rare = [name for name in target["few"] if _training_counts(target)[name]]
    if rare:
        counts = _training_counts(target)
        yield f"fewer than {FEW} training examples of {listed([f'{name} ({counts[name]})' for name in rare], _LISTED)}"
    ratio = target["imbalance"]
    if ratio is not None and ratio >= IMBALANCE:
        unit = "examples" if target["kind"] == "labels" else "positions"
        yield f"the largest class has {ratio:.3g} times the training {unit} of the smallest; accuracy alone says little about the smallest"


def _input_notes(entry: Data) -> Iterator[str]:
    training = _first(entry["shares"])
    if entry["kind"] != "values" or training["mean"] is None:
        return
    constant = [str(n) for n, deviation in enumerate(training["deviation"]) if not deviation]
    if constant:
        what = f"channel {listed(constant, _LISTED)}" if len(constant) == 1 else f"channels {listed(constant, _LISTED)}"
        yield f"{entry['name']}: {what} {'has' if len(constant) == 1 else 'have'} one value throughout the training share"


# ---- text


def data_text(survey: Data, layout: Layout = _NO_LIMIT) -> str:
    """The survey `with_conclusions` as `cnnc data` prints it."""
    parts = [_head(survey), "\n".join(_share_table(survey, layout))]
    parts += [
        "\n".join(_class_table(target, list(survey["shares"]), layout))
        for target in survey["targets"]
        if target["classes"]
    ]
    parts += [
        "\n".join(lines) for lines in (_duplicate_lines(survey), _near_lines(survey), _normalize_lines(survey)) if lines
    ]
    if survey["notes"]:
        parts.append("\n".join(f"note: {note}" for note in survey["notes"]))
    return "\n\n".join(parts)


def _file_rows(kind: str, files: Data) -> list[tuple[str, str]]:
    """The sizes and kinds of the files."""
    sizes, modes = _frequent(files["sizes"]), _frequent(files["modes"])
    if kind == "audio":
        return [("file lengths", sizes), ("file formats", modes)]
    return [("file sizes", f"{sizes} (width x height)" if sizes else ""), ("file modes", modes)]


def _item(survey: Data) -> str:
    """What one file is."""
    return "recording" if survey["data"] == "audio" else "image"


def _head(survey: Data) -> str:
    files = survey["files"]
    several = len(survey["targets"]) > 1
    rows = [
        *((f"input {entry['name']}", _input_text(entry)) for entry in survey["inputs"]),
        ("vocabulary", f"{survey['vocabulary']:,} words" if survey["vocabulary"] else ""),
        *((f"target {t['name']}" if several else "target", _target_text(t)) for t in survey["targets"]),
        ("loss", "; ".join(f"{loss['loss']} with {loss['compares_with']}" for loss in survey["losses"])),
        *_file_rows(survey["data"], files),
        (
            "resized",
            f"{_counted(files['resized'], 'image')} to {_shape(survey['inputs'][0])}" if files["resized"] else "",
        ),
        ("converted", "; ".join(f"{text} in {_counted(n, _item(survey))}" for text, n in files["conversions"].items())),
        ("skipped", listed((f"{entry['file']} ({entry['reason']})" for entry in files["skipped"]), _LISTED, "; ")),
        ("not read", listed(files["unread"], _LISTED)),
    ]
    shown = [(key, value) for key, value in rows if value]
    width = max(len(key) for key, _ in shown)
    head = f"{survey['data']}, read from {survey['source']}" if survey["source"] else survey["data"]
    return "\n".join([head, *(f"  {key:<{width}}  {value}" for key, value in shown)])


def _input_text(entry: Data) -> str:
    training = _first(entry["shares"])
    text = f"{_shape(entry)} {entry['dtype']}"
    if entry["kind"] == "words":
        unknown = ", ".join(f"{facts['unknown']:.1%} in {share}" for share, facts in entry["shares"].items())
        return (
            f"{text}; {training['mean_words']:.3g} words per sentence, at most {training['most_words']:,}; "
            f"unknown words: {unknown}"
        )
    scaled = "; training scales them to 0 to 1" if entry["dtype"] == "uint8" else ""
    return f"{text}, {_range(training)}{scaled}"


def _target_text(target: Data) -> str:
    if target["kind"] == "values":
        training = _first(target["shares"])
        means, deviations = _per_channel(training)
        values = "one value" if target["shape"] == [1] else f"{_shape(target)} values"
        return f"{values}, {_range(training)}, mean {_numbers(means)}, deviation {_numbers(deviations)}"
    kind = "one label" if target["kind"] == "labels" else f"a label map {_shape(target)}"
    ignored = sum(facts["ignored"] for facts in target["shares"].values())
    more = f"; {_counted(ignored, 'position')} ignored" if ignored else ""
    return f"{kind} for each example, {_counted(len(target['classes']), 'class', 'classes')}{more}"


def _range(facts: Data) -> str:
    return f"values from {facts['minimum']:g} to {facts['maximum']:g}" if facts["minimum"] is not None else "no values"


def _share_table(survey: Data, layout: Layout) -> list[str]:
    """Each share with its examples, how many repeat one of the same share, and how many are in a share above it."""
    shares, duplicates = survey["shares"], survey["duplicates"]
    names = list(shares)
    columns = [
        ColumnLayout("share"),
        ColumnLayout("examples", right=True),
        ColumnLayout("repeated", right=True, drop=1),
        *(ColumnLayout(f"also in {name}", right=True, drop=2) for name in names[:-1]),
    ]
    across = {(pair["of"], pair["also_in"]): pair["examples"] for pair in duplicates["across"]}
    rows = [
        [
            name,
            f"{shares[name]['examples']:,}",
            f"{duplicates['within'][name]:,}",
            *(f"{across[name, other]:,}" if (name, other) in across else "" for other in names[:-1]),
        ]
        for name in names
    ]
    return fitted(columns, rows, layout, rule=True)


def _class_table(target: Data, shares: Sequence[str], layout: Layout) -> list[str]:
    """Each class with its examples, or positions of label maps, per share; of many classes the largest and the smallest."""
    classes = target["classes"]
    shown, left_out = classes, 0
    if len(classes) > _CLASSES:
        ranked = sorted(classes, key=lambda entry: -entry["training"])
        shown = [*ranked[: _CLASSES // 2], *ranked[-_CLASSES // 2 :]]
        left_out = len(classes) - len(shown)
    total = sum(entry["training"] for entry in classes) or 1
    columns = [
        ColumnLayout("class" if target["kind"] == "labels" else "class (positions)", least=8),
        *(ColumnLayout(share, right=True) for share in shares),
        ColumnLayout("of training", right=True, drop=1),
    ]
    rows = [
        [entry["name"], *(f"{entry[share]:,}" for share in shares), f"{entry['training'] / total:.1%}"]
        for entry in shown
    ]
    lines = fitted(columns, rows, layout, rule=True)
    if left_out:
        lines.append(f"{left_out:,} classes in between are left out; {_all_facts()} has all of them")
    return lines


def _all_facts() -> str:
    """What has the facts that a text leaves out: an option of `cnnc data`, or a property of the result of `cnnc.data`."""
    return "--json" if is_command_line() else "`facts`"


def _duplicate_lines(survey: Data) -> list[str]:
    groups = survey["duplicates"]["groups"]
    if not groups:
        return []
    lines = [_group_text(group, survey["source"]) for group in groups[:_LISTED]]
    more = [f"  ... ({_all_facts()} lists {len(groups):,})"] if len(groups) > _LISTED else []
    return ["equal examples:", *(f"  {line}" for line in lines), *more]


def _near_lines(survey: Data) -> list[str]:
    near = survey["duplicates"]["near"]
    if not near or not near["pairs"]:
        return []
    lines = [
        f"{' ~ '.join(_example_name(example, survey['source']) for example in pair['examples'])} ({pair['likeness']:.1%})"
        for pair in near["pairs"][:_LISTED]
    ]
    more = [f"  ... ({_all_facts()} lists {len(near['pairs']):,})"] if len(near["pairs"]) > _LISTED else []
    return ["nearly equal images, and how much they correlate:", *(f"  {line}" for line in lines), *more]


def _group_text(group: Sequence[Data], source: str) -> str:
    """Equal examples, one of each share first: `training 5 = test 3`, with the names of files within the source."""
    firsts = {example["share"]: example for example in reversed(group)}.values()
    ranked = [*reversed(firsts), *(example for example in group if example not in firsts)]
    more = f" and {len(ranked) - _EQUAL:,} more" if len(ranked) > _EQUAL else ""
    return " = ".join(_example_name(example, source) for example in ranked[:_EQUAL]) + more


def _example_name(example: Data, source: str) -> str:
    file = example["file"]
    if file and file.startswith(source):
        file = file.removeprefix(source).lstrip(":/ ")
    return f"{example['share']} {file or example['example']}"


def _normalize_lines(survey: Data) -> list[str]:
    lines = [(entry["name"], entry["normalize"]) for entry in survey["inputs"] if entry["normalize"]]
    if not lines:
        return []
    several = len(survey["inputs"]) > 1
    head = "mean and deviation of the training examples, as a layer after the input:"
    return [head, *(f"  {f'{name}: ' if several else ''}{line}" for name, line in lines)]


def _frequent(counts: Mapping[str, int]) -> str:
    texts = [f"{name} {count:,}" for name, count in counts.items()]
    return listed(texts, _LISTED)


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _shape(entry: Data) -> str:
    return "x".join(map(str, entry["shape"])) or "1"


def _first(shares: Mapping[str, Any]) -> Any:
    return next(iter(shares.values()))
