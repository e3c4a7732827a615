"""Words of other frameworks for the train section: what they are here, as an edit of the source.

In: a statement or kind that the train section does not have. Out: an `Edit`, or a sentence where there is nothing like
it or nothing to do. The words for statements and their arguments are in cnnc/language/synonyms.py.

Example: `early_stopping 5` is `stop patience=5`; `lr 0.1` belongs in the line of `optimizer`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cnnc.data.catalog import KNOWN
from cnnc.diagnostics import Diagnostic, Edit, Span, nearest
from cnnc.language import syntax
from cnnc.language.edits import as_written, did_you_mean, rewritten
from cnnc.language.synonyms import key_synonym, train_path
from cnnc.recipe.declaration import TRAIN_STATEMENTS

# What follows the keyword of a statement that is added for one argument.
_ADDED = {
    "data.test": "digits test={}",
    "data.val": "digits val={}",
    "loss.smoothing": "cross_entropy smoothing={}",
    "loss.weights": "cross_entropy weights={}",
    "optimizer.beta1": "adam beta1={}",
    "optimizer.beta2": "adam beta2={}",
    "optimizer.betas": "adam beta1={} beta2={}",
    "optimizer.eps": "adam eps={}",
    "optimizer.lr": "sgd lr={}",
    "optimizer.momentum": "sgd lr=0.01 momentum={}",
    "optimizer.weight_decay": "sgd lr=0.01 momentum=0.9 weight_decay={}",
    "schedule.warmup": "constant warmup={}",
}
_ALWAYS_SAVED = "remove it: the best and the last epoch are always saved in the run folder"
_SENTENCES = {
    **dict.fromkeys(("shuffle", "shuffling"), "remove it: every epoch shuffles the training data"),
    **dict.fromkeys(
        ("workers", "num_workers", "threads", "n_jobs"),
        "remove it: the environment variable CNNC_THREADS sets the number of threads",
    ),
    **dict.fromkeys(("device", "gpu", "gpus", "cuda", "accelerator"), "remove it: a source does not choose its device"),
    **dict.fromkeys(
        ("verbose", "log", "logging", "log_interval", "display"), "remove it: `cnnc train` reports every epoch"
    ),
    **dict.fromkeys(
        ("checkpoint", "checkpoints", "save", "save_best", "save_path", "snapshot", "save_dir"), _ALWAYS_SAVED
    ),
    **dict.fromkeys(
        ("callback", "callbacks"),
        "remove it: early stopping is `stop patience=5`, and checkpoints and metrics are always written",
    ),
    **dict.fromkeys(
        ("amp", "precision", "mixed_precision", "fp16", "half", "bf16"),
        "remove it: training computes in float32; `cnnc export --fp16` writes a model in float16",
    ),
    **dict.fromkeys(
        ("steps", "iterations", "max_iter", "max_iterations", "max_steps", "max_batches", "steps_per_epoch"),
        "training is counted in passes over the data: write `epochs 10`",
    ),
    **dict.fromkeys(
        ("dropout", "bn", "batchnorm"), "it is a layer: write it among the layers of the network, e.g. `dropout 0.5`"
    ),
    **dict.fromkeys(("ema", "swa"), "remove it: cnnc does not average weights over time"),
    **dict.fromkeys(("step_size", "gamma", "milestones"), "write it in a schedule: `schedule step every=10 gamma=0.1`"),
    **dict.fromkeys(
        ("classes", "num_classes"), "remove it: the classes are those of the data; end with `fc N` for N classes"
    ),
}
_KINDS = {
    "loss": {
        "cross_entropy": "ce xent crossentropy crossentropyloss categorical_crossentropy sparse_categorical_crossentropy nll"
        " nllloss nll_loss softmax softmaxwithloss softmax_cross_entropy log_loss logloss softmax_loss",
        "bce": "bceloss bcewithlogits bcewithlogitsloss bce_with_logits binary_crossentropy binary_cross_entropy sigmoid"
        " sigmoidcrossentropyloss binary logistic",
        "mse": "mseloss mean_squared_error meansquarederror l2 l2loss squared euclidean euclideanloss rmse",
        "l1": "l1loss mae mean_absolute_error meanabsoluteerror absolute",
        "focal": "focalloss focal_loss sigmoid_focal_loss softmax_focal_loss",
        "huber": "smoothl1 smooth_l1 smoothl1loss huberloss",
        "contrastive": "contrastiveloss contrastive_loss margin siamese",
    },
    "optimizer": {
        "sgd momentum=0.9": "momentum nesterov nag",
        "sgd": "gd gradient_descent",
        "adam": "adamax nadam radam amsgrad lbfgs",
        "rmsprop": "adagrad adadelta",
    },
    "schedule": {
        "cosine": "cosineannealing cosineannealinglr cosine_annealing cosinedecay cosine_decay linear poly polynomial lineardecay"
        " cosineannealingwarmrestarts",
        "onecycle": "onecyclelr one_cycle one_cycle_lr cyclic",
        "step gamma=0.1": "steplr step_lr multistep multisteplr multi_step stepdecay exponential exponentiallr inv",
        "constant": "fixed none constantlr",
        "constant warmup=1": "warmup linearwarmup",
    },
    "metric": {
        "accuracy": "acc top1 top_1 categorical_accuracy sparse_categorical_accuracy binary_accuracy error",
        "top5": "top_5 top5_accuracy top_5_accuracy top_k topk top_k_categorical_accuracy",
        "precision": "ppv macro_precision precision_score",
        "recall": "sensitivity tpr macro_recall recall_score",
        "f1": "f1_score f1score f_score fscore dice",
        "macro_f1": "f1_macro macrof1 macro_f1_score",
        "balanced_accuracy": "balanced_acc balancedaccuracy balanced_accuracy_score mean_recall",
        "iou": "miou mean_iou meaniou jaccard",
        "mse": "mean_squared_error rmse l2",
        "l1": "mae mean_absolute_error",
    },
    "data": {
        "images": "folder imagefolder image_folder directory image png jpg",
        "shards": "webdataset tar wds",
        "npz": "numpy npy arrays",
        "text": "tsv sentences",
        "audio": "wav sound sounds speech recordings waveform waveforms speech_commands speechcommands",
        "series": "csv timeseries time_series table",
        "fashion_mnist": "fashion",
    },
}
_PLATEAU = "cnnc has no schedule that watches the validation; write `schedule cosine`, and `stop patience=5` to end training early"
_CURVE = "cnnc has no metric of ROC curves; `metric balanced_accuracy` and `metric macro_f1` count each class equally"
_KIND_SENTENCES = {
    **{("schedule", word): _PLATEAU for word in ("plateau", "reducelronplateau", "reduce_lr_on_plateau")},
    **{("metric", word): _CURVE for word in ("auc", "roc_auc", "auroc")},
}


def statement_meant(statement: syntax.Call, section: Sequence[syntax.Call]) -> tuple[Edit, ...] | str:
    """The edit for an unknown statement, a sentence, or "". `section` are the statements of the train section."""
    word, written = statement.op.text.lower(), statement.span.text
    values = [a.span.text for a in statement.arguments]
    path = "optimizer.betas" if word == "betas" else train_path(word)
    keyword, _, key = path.partition(".")
    if path == "stop.patience":
        number = next((value for value in values if value.partition("=")[2].isdigit() or value.isdigit()), "5")
        return (Edit(statement.span, f"stop patience={number.rpartition('=')[2]}"),)
    if keyword and not key:
        kind = [word] if word in TRAIN_STATEMENTS[keyword] else []
        text = _with_known_kind(" ".join([keyword, *kind, *values]), statement)
        if text == keyword + written[len(statement.op.text) :]:
            return (Edit(statement.op.span, keyword, "did you mean `{}`?"),)
        return (Edit(statement.span, text),)
    if key in TRAIN_STATEMENTS.get(keyword, ()):
        return (Edit(statement.op.span, f"{keyword} {key}", "did you mean `{}`?"),)
    if key and values and (path in _ADDED or any(s.op.text == keyword for s in section)):
        return (_argument_edit(statement, path, values, section),)
    sentence = _SENTENCES.get(word, "")
    return (Edit(statement.span, "", sentence),) if sentence.startswith("remove it") else sentence


def _with_known_kind(text: str, statement: syntax.Call) -> str:
    """A translated statement with the kind translated as well: `loss cross_entropy` for `criterion ce`."""
    keyword = text.partition(" ")[0]
    if keyword not in _KINDS or not statement.arguments or statement.arguments[0].key is not None:
        return text
    edits = kind_meant(statement._replace(op=statement.op._replace(text=keyword)))
    if not isinstance(edits, tuple) or not edits:
        return text
    return edits[0].text if edits[0].span.start < statement.arguments[0].span.start else f"{keyword} {edits[0].text}"


def _argument_edit(statement: syntax.Call, path: str, values: list[str], section: Sequence[syntax.Call]) -> Edit:
    """The edit that moves `lr 0.1`, the argument of a path, to the statement that it belongs to, or adds that."""
    keyword, _, key = path.partition(".")
    keys = ("beta1", "beta2") if key == "betas" else (key,)
    values = [v for value in values for v in re.split(r"[\s,]+", value.strip("[]()")) if v]
    pairs = [f"{key}={value}" for key, value in zip(keys, values, strict=False)]
    target = next((s for s in section if s.op.text == keyword), None)
    if target is None:
        filled = _ADDED[path]
        for pair in pairs:
            filled = filled.replace("{}", pair.partition("=")[2], 1)
        return Edit(statement.span, f"{keyword} {filled}".replace("beta2={}", "beta2=0.999"))
    given = {pair.partition("=")[0] for pair in pairs}
    kept = [as_written(a) for a in target.arguments if a.key is None or a.key.text not in given]
    line = " ".join([keyword, *kept, *pairs])
    source = statement.span.source
    start, end = min(target.span.start, statement.span.start), max(target.span.end, statement.span.end)
    between = source.text[min(target.span.end, statement.span.end) : max(target.span.start, statement.span.start)]
    text = f"{line}{between}" if target.span.start < statement.span.start else f"{between}{line}"
    moved = f"it is an argument of `{keyword}`: write `{line}` there, and remove this line"
    return Edit(Span(source, start, end), text, moved)


def kind_meant(call: syntax.Call) -> tuple[Edit, ...] | str:
    """The edit for a statement of an unknown kind, such as `loss ce`, a sentence, or ""."""
    keyword, argument = call.op.text, call.arguments[0]
    word = argument.value.span.text.strip('"').lower()
    sentence = _KIND_SENTENCES.get((keyword, word), "")
    if sentence:
        return sentence
    kinds = _kinds(keyword)
    lower = {kind.lower(): kind for kind in kinds}
    meant = lower.get(word) or next((m for m, words in _KINDS.get(keyword, {}).items() if word in words.split()), "")
    if not meant:
        return ""
    kind, *defaults = meant.split()
    if keyword == "data":
        return (Edit(argument.span, kind, "did you mean `{}`?"),)
    line = _line(keyword, kind, defaults, call.arguments[1:])
    if line == f"{keyword} {kind}" and len(call.arguments) == 1:
        return (Edit(argument.span, kind, "did you mean `{}`?"),)
    return (rewritten(call, line),)


def _kinds(keyword: str) -> list[str]:
    return list(KNOWN) if keyword == "data" else list(TRAIN_STATEMENTS[keyword])


def _line(keyword: str, kind: str, defaults: Sequence[str], given: Sequence[syntax.Argument]) -> str:
    """`optimizer sgd lr=0.1 momentum=0.9`: the arguments that are given and known, and defaults for the others."""
    specs = TRAIN_STATEMENTS[keyword][kind].arguments
    known = [key for spec in specs for key in spec.keys]
    values = {}
    for argument in given:
        key = argument.key.text if argument.key is not None else ""
        key = key if key in known else key_synonym(key, known) or ""
        if key:
            values[key] = argument.value.span.text
    for default in defaults:
        key, _, value = default.partition("=")
        values.setdefault(key, value)
    for spec in specs:
        if spec.required and spec.name not in values:
            values[spec.name] = _NEEDED.get(spec.name, spec.kind.example)
    return " ".join([keyword, kind, *(f"{key}={value}" for key, value in values.items())])


_NEEDED = {"lr": "0.01", "every": "10"}


def unknown_kind(code: str, message: str, call: syntax.Call, kinds: Sequence[str], what: str) -> Diagnostic:
    """E503 or E506 at the kind of a statement, with the kind that was meant; `what` introduces the list of all kinds."""
    argument, meant = call.arguments[0], kind_meant(call)
    near = nearest(argument.value.span.text, kinds) if not meant else None
    edits = meant if isinstance(meant, tuple) else did_you_mean(argument.value.span, near)
    help = meant if isinstance(meant, str) and meant else f"{what} {', '.join(kinds)}"
    return Diagnostic(code, message, argument.span, help=help, edits=edits)
