"""Names that other frameworks and textbooks use for layers and their arguments.

In: a word that is not a layer, or a key that a layer does not have. Out: the name in this language, for the help of the
error: `MaxPool2d` is `pool max`, `filters` is `out`; or a sentence that says what exists instead. meant.py makes edits
from them, and cnnc/recipe/words.py those of the train section.
"""

from __future__ import annotations

import re
from collections.abc import Collection

# Statements that are meant by a word. In braces: the argument that fills the place, a positional one by its number (negative:
# from the last) or one by its key, and the value without it.
_LAYERS = {
    "act": "relu",
    "adaptiveavgpool": "global_pool avg",
    "adaptivemaxpool": "global_pool max",
    "affinelayer": "fc {-1|10}",
    "averagepool": "pool avg k={k|0|2}",
    "averagepooling": "pool avg k={k|0|2}",
    "avgpool": "pool avg k={k|0|2}",
    "batchnorm": "bn",
    "batchnormalization": "bn",
    "norm": "bn",
    "normalization": "bn",
    "cat": "concat",
    "concatenate": "concat",
    "concatenation": "concat",
    "cbr": "conv {out|0|16} k={k|1|3} p=same bias=false; bn; relu",
    "convbnrelu": "conv {out|0|16} k={k|1|3} p=same bias=false; bn; relu",
    "convbn": "conv {out|0|16} k={k|1|3} p=same bias=false; bn",
    "convrelu": "conv {out|0|16} k={k|1|3} p=same; relu",
    "conv": "conv {out|0|16} k={k|1|3}",
    "convolution": "conv {out|0|16} k={k|1|3}",
    "convolutional": "conv {out|0|16} k={k|1|3}",
    "convlayer": "conv {out|0|16} k={k|1|3}",
    "convtranspose": "conv_transpose {out|0|16} k={k|1|2}",
    "transposeconv": "conv_transpose {out|0|16} k={k|1|2}",
    "transposedconv": "conv_transpose {out|0|16} k={k|1|2}",
    "deconv": "conv_transpose {out|0|16} k={k|1|2}",
    "deconvolution": "conv_transpose {out|0|16} k={k|1|2}",
    "upconv": "conv_transpose {out|0|16} k={k|1|2}",
    "cropping": "crop {0|2}",
    "dense": "fc {out|-1|10}",
    "depthwise": "conv c_in k={k|0|3} groups=c_in",
    "depthwiseconv": "conv c_in k={k|0|3} groups=c_in",
    "divide": "scale {0|0.5}",
    "dropoutlayer": "dropout {p|0|0.5}",
    "spatialdropout": "dropout {p|0|0.5}",
    "embedding": "embed {1|64} vocab={0|1000}",
    "fullyconnected": "fc {out|-1|10}",
    "for": "repeat",
    "loop": "repeat",
    "gap": "global_pool avg",
    "gmp": "global_pool max",
    "globalaveragepool": "global_pool avg",
    "globalaveragepooling": "global_pool avg",
    "globalavgpool": "global_pool avg",
    "globalmaxpool": "global_pool max",
    "globalmaxpooling": "global_pool max",
    "globalpooling": "global_pool avg",
    "groupnorm": "group_norm groups={groups|0|4}",
    "groupnormalization": "group_norm groups={groups|0|4}",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hswish": "hard_swish",
    "hsigmoid": "hard_sigmoid",
    "hardtanh": "hard_tanh",
    "hidden": "fc {out|-1|10}",
    "innerproduct": "fc {out|-1|10}",
    "instancenorm": "instance_norm",
    "instancenormalization": "instance_norm",
    "interpolate": "upsample {n|0|2}",
    "layernorm": "layer_norm",
    "layernormalization": "layer_norm",
    "leaky": "leaky_relu {slope|0|0.1}",
    "leakyrelu": "leaky_relu {slope|0|0.01}",
    "linear": "fc {out|-1|10}",
    "localconv": "local {out|0|16} k={k|1|3}",
    "localconvolution": "local {out|0|16} k={k|1|3}",
    "locallyconnected": "local {out|0|16} k={k|1|3}",
    "unsharedconv": "local {out|0|16} k={k|1|3}",
    "unsharedconvolution": "local {out|0|16} k={k|1|3}",
    "localresponsenorm": "lrn",
    "localresponsenormalization": "lrn",
    "logistic": "sigmoid",
    "logsoftmax": "log_softmax",
    "maxpool": "pool max k={k|0|2}",
    "maxpooling": "pool max k={k|0|2}",
    "subsample": "pool max k={k|0|2}",
    "mean": "global_pool avg",
    "multiply": "mul",
    "pixelshuffle": "depth_to_space {0|2}",
    "pixelunshuffle": "space_to_depth {0|2}",
    "pooling": "pool max k={k|0|2}",
    "reorg": "space_to_depth {0|2}",
    "rescaling": "scale {0|0.5}",
    "resize": "upsample {n|0|2}",
    "separableconv": "conv c_in k={k|1|3} groups=c_in; conv {out|0|16} k=1",
    "sepconv": "conv c_in k={k|1|3} groups=c_in; conv {out|0|16} k=1",
    "squeeze": "flatten",
    "subtract": "sub",
    "swish": "silu",
    "tconv": "conv_transpose {out|0|16} k={k|1|2}",
    "unsqueeze": "reshape {0|1}",
    "upsampling": "upsample {n|0|2}",
    "upsamplinglayer": "upsample {n|0|2}",
    "zeropad": "pad {n|0|1}",
    "zeropadding": "pad {n|0|1}",
}

_MERGE = "write `add { ... } { }` with the layers of the branch in the first braces, or label an earlier layer, `a: ...`, and write `add a`"
_RECURRENT = (
    "cnnc has no recurrent layers; for sequences, stack convolutions that see only the past: `conv 64 k=3 p=causal`"
)
_ATTENTION = (
    "cnnc has no attention; to weight channels by what is in them, write"
    " `mul { } { global_pool avg; conv c_in k=1; sigmoid }`"
)
_FLAT = "cnnc keeps channels first and has no transposition; `reshape` gives the same elements another shape"
_BLOCK = "to define a part that is used several times, write `block NAME(w) { ... }`"
_ELEMENTWISE = (
    "cnnc has no layer for it; `cnnc ops` lists those that compute element by element, such as `softplus` and `abs`"
)
_SENTENCES = {
    **dict.fromkeys(("add", "residual", "shortcut", "skip", "eltwise", "elementwise", "sum", "identityblock"), _MERGE),
    **dict.fromkeys(("lstm", "gru", "rnn", "bilstm", "simplernn", "convlstm", "lstmcell", "recurrent"), _RECURRENT),
    **dict.fromkeys(
        ("attention", "selfattention", "multiheadattention", "mha", "transformer", "transformerencoder"), _ATTENTION
    ),
    **dict.fromkeys(("permute", "transpose", "movedim"), _FLAT),
    **dict.fromkeys(("def", "function", "module", "class", "macro", "subnet", "model", "sequential"), _BLOCK),
    **dict.fromkeys(("exp", "log", "sqrt", "square", "pow", "power"), _ELEMENTWISE),
    **dict.fromkeys(
        ("split", "chunk"), "to keep a part of the channels, write `slice 0 c_in//2`; the rest is `slice c_in//2 c_in`"
    ),
    **dict.fromkeys(
        ("noise", "gaussiannoise"), "noise belongs to training: write `augment noise=0.1` in the train section"
    ),
    **dict.fromkeys(
        ("yolo", "region", "detection", "anchors"),
        "cnnc has no detection layer: end with the convolution above, and decode its output in your program",
    ),
    **dict.fromkeys(("quantize", "quant"), "quantization is an option of the export: `cnnc export --int8`"),
    **dict.fromkeys(("import", "from_import"), 'to use blocks of another file, write `include "FILE"`'),
    **dict.fromkeys(("lambda", "threshold"), "cnnc has no layers of your own; `cnnc ops` lists the layers"),
    "view": "`flatten` makes a vector, `reshape SHAPE` gives another shape",
    "route": "label the earlier layer, `a: ...`; then `from a` continues from it, and `concat a` joins it to this one",
    "reflectionpad": "cnnc pads with one value only: `pad 1`",
    "bias": "a bias is an argument of its layer: `conv 16 k=3 bias=true`, which is the default",
    "quantizelinear": "quantization is an option of the export: `cnnc export --int8`",
    "glu": "cnnc has no gated linear unit; write it with branches: `mul { conv 16 k=1 } { conv 16 k=1; sigmoid }`",
}
_KEYS = {
    "border_mode": ("pad",),
    "bias_term": ("bias",),
    "brightness_factor": ("brightness",),
    "ceil_mode": ("ceil",),
    "ceiling": ("ceil",),
    "center": ("affine",),
    "ch": ("out",),
    "channels": ("out",),
    "alpha": ("slope", "decay"),
    "angle": ("rotate",),
    "beta": ("delta",),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "contrast_factor": ("contrast",),
    "count_include_pad": ("count_pad",),
    "cutout_size": ("cutout",),
    "decay": ("weight_decay",),
    "decay_rate": ("gamma",),
    "decay_steps": ("every",),
    "degrees": ("rotate",),
    "dilation_rate": ("d",),
    "dilations": ("d",),
    "drop_prob": ("p",),
    "dropout_ratio": ("p",),
    "class_weight": ("weights", "alpha"),
    "class_weights": ("weights", "alpha"),
    "positive_weight": ("pos_weight",),
    "sampler": ("sampling",),
    "epochs": ("patience",),
    "epsilon": ("eps",),
    "eta": ("lr",),
    "factor": ("n", "gamma"),
    "features": ("out",),
    "filter_size": ("k",),
    "gamma": ("aspect",),
    "filters": ("out",),
    "group": ("groups",),
    "hidden": ("out",),
    "ignore_index": ("ignore",),
    "ignore_label": ("ignore",),
    "interpolation": ("mode",),
    "kernel_initializer": ("init",),
    "initializer": ("init",),
    "weight_init": ("init",),
    "kernel_shape": ("k",),
    "kernel_size": ("kernel",),
    "ks": ("k",),
    "ksize": ("k",),
    "l2": ("weight_decay",),
    "lambd": ("wavelength",),
    "label_smoothing": ("smoothing",),
    "learning_rate": ("lr",),
    "local_size": ("size",),
    "lr_decay": ("gamma",),
    "n_filters": ("out",),
    "nb_filter": ("out",),
    "negative_slope": ("slope",),
    "neurons": ("out",),
    "nf": ("out",),
    "num_embeddings": ("vocab",),
    "num_filters": ("out",),
    "num_groups": ("groups",),
    "num_output": ("out",),
    "num_units": ("out",),
    "out_channels": ("out",),
    "out_features": ("out",),
    "output_dim": ("out",),
    "output_padding": ("output_pad",),
    "padding": ("pad", "n", "crop"),
    "pct_start": ("rise",),
    "period": ("every",),
    "pool_size": ("k",),
    "pool_type": ("kind",),
    "psi": ("phase",),
    "prob": ("p",),
    "rate": ("p", "d"),
    "resample": ("mode",),
    "rho": ("decay",),
    "root": ("path",),
    "rotation": ("rotate",),
    "random_brightness": ("brightness",),
    "randombrightness": ("brightness",),
    "random_contrast": ("contrast",),
    "randomcontrast": ("contrast",),
    "scale": ("n", "affine"),
    "scale_factor": ("n",),
    "size": ("k", "n"),
    "std": ("noise", "sigma"),
    "step": ("every",),
    "step_size": ("every",),
    "strides": ("stride",),
    "subsample": ("stride",),
    "test_split": ("test",),
    "theta": ("angle",),
    "translate": ("shift",),
    "translation": ("shift",),
    "type": ("kind",),
    "units": ("out",),
    "use_bias": ("bias",),
    "val_split": ("val",),
    "validation": ("val",),
    "validation_split": ("val",),
    "warmup_epochs": ("warmup",),
    "wd": ("weight_decay",),
    "window": ("k",),
}
_INFERRED = "remove it: the number of input channels is inferred"
_CHANNELS = "remove it: cnnc computes along the channels"
_NEEDLESS = {
    "in_channels": _INFERRED,
    "input_channels": _INFERRED,
    "in_planes": _INFERRED,
    "num_features": _INFERRED,
    "in_features": "remove it: the number of inputs is inferred",
    "input_dim": "remove it: the number of inputs is inferred",
    "input_shape": "remove it: the shape stands in the `input` line",
    "dim": _CHANNELS,
    "axis": _CHANNELS,
    "start_dim": "remove it: a flatten always gives a vector",
    "end_dim": "remove it: a flatten always gives a vector",
    "inplace": "remove it: cnnc reuses memory by itself",
    "padding_mode": "remove it: cnnc pads with zeros",
    "data_format": "remove it: shapes are channels first",
    "device": "remove it: a network does not depend on a device",
    "dtype": "remove it: cnnc computes in float32",
    "track_running_stats": "remove it: running statistics are always kept",
    "regularizer": "remove it: weight decay stands in the train section, `optimizer adamw weight_decay=0.01`",
    "kernel_regularizer": "remove it: weight decay stands in the train section, `optimizer adamw weight_decay=0.01`",
    "weight_decay": "remove it: weight decay stands in the train section, `optimizer adamw weight_decay=0.01`",
    "amsgrad": "remove it: cnnc has Adam without AMSGrad",
    "t_max": "remove it: the schedule ends with the last epoch",
    "eta_min": "remove it: the schedule ends at 0",
    "reduction": "remove it: a loss is the mean over the batch",
    "from_logits": "remove it: a final softmax or sigmoid is taken into the loss by itself",
    "shuffle": "remove it: every epoch shuffles the training data",
    "min_delta": "remove it: any improvement counts",
    "monitor": "remove it: the first metric on the validation data decides",
    "align_corners": "remove it: bilinear upsampling is that of align_corners=False",
}
_VALUES = {  # words that arguments take
    **dict.fromkeys(("mean", "average", "ave"), "avg"),
    **dict.fromkeys(("maximum", "largest"), "max"),
    **dict.fromkeys(("linear", "cubic", "bicubic"), "bilinear"),
    **dict.fromkeys(("none", "null", "off", "without"), "false"),
    **dict.fromkeys(("on", "with"), "true"),
    **dict.fromkeys(("hflip", "horizontal_flip", "random_flip", "randomhorizontalflip", "mirror", "fliplr"), "flip"),
    **dict.fromkeys(("auto", "yes", "same_upper"), "same"),
    **dict.fromkeys(("kaiming", "he_normal", "he_uniform", "msra", "kaiming_normal", "kaiming_uniform"), "he"),
    **dict.fromkeys(("glorot", "glorot_uniform", "glorot_normal", "xavier_uniform", "xavier_normal"), "xavier"),
    **dict.fromkeys(("gaussian", "random_normal", "random"), "normal"),
    **dict.fromkeys(("lecun_normal", "lecun_uniform"), "lecun"),
}
_KERNELS = {  # names of filters
    **dict.fromkeys(("blur", "gauss", "gaussianblur", "gaussian_blur", "smooth", "binomial"), "gaussian"),
    **dict.fromkeys(("mean", "average", "uniform", "boxblur", "box_blur", "box_filter"), "box"),
    **dict.fromkeys(("laplacian_of_gaussian", "laplace_of_gaussian", "mexican_hat", "marr"), "log"),
    **dict.fromkeys(("edge", "edges", "gradient", "sobel"), "sobel_x"),
    **dict.fromkeys(("unsharp", "unsharp_mask", "sharp"), "sharpen"),
    "laplace": "laplacian",
    "prewitt": "prewitt_x",
    "relief": "emboss",
    "scharr": "scharr_x",
}
_AS_LAYER = {  # keys whose value is a layer of its own
    **dict.fromkeys(("act", "activation", "activation_fn", "nonlin", "nonlinearity", "non_linearity"), "activation"),
    **dict.fromkeys(
        ("bn", "batch_norm", "batchnorm", "batch_normalize", "batch_normalization", "norm", "use_bn"), "bn"
    ),
    **dict.fromkeys(("dropout", "drop"), "dropout"),
}


_TRAIN = ("data", "augment", "loss", "optimizer", "schedule", "batch", "epochs", "seed", "stop", "metric")
_TRAIN_PATHS = {  # words for statements of the train section, and for their arguments
    word: path
    for path, words in {
        "augment": "augmentation augmentations data_augmentation transform transforms",
        "batch": "batch_size batchsize batches bs minibatch mini_batch",
        "clip": "clip clip_grad clip_grad_norm clip_norm clipnorm grad_clip gradient_clip gradient_clipping max_norm",
        "data": "dataset train_data train_set trainset",
        "data.test": "test test_split test_size",
        "data.val": "val valid validation val_split validation_split val_size val_fraction dev_split",
        "epochs": "epoch max_epochs n_epochs nb_epoch num_epochs",
        "loss": "cost criterion loss_fn loss_function objective",
        "loss.smoothing": "smoothing label_smoothing",
        "loss.weights": "class_weight class_weights",
        "metric": "evaluation metrics score",
        "optimizer": "adam optim solver trainer updater",
        "optimizer.beta1": "beta1",
        "optimizer.beta2": "beta2",
        "optimizer.eps": "eps",
        "optimizer.lr": "lr learning_rate base_lr init_lr initial_lr eta rate",
        "optimizer.momentum": "momentum",
        "optimizer.weight_decay": "weight_decay wd l2 l2_reg decay regularization l2_regularization",
        "schedule": "lr_policy lr_schedule lr_scheduler policy scheduler",
        "schedule.warmup": "warmup warmup_epochs warm_up",
        "seed": "manual_seed random_seed random_state",
        "stop.patience": "early_stop early_stopping earlystopping patience",
    }.items()
    for word in words.split()
}


def layer_template(word: str) -> str:
    """The statements meant by a word of another framework, with places for its arguments; "" for another word."""
    found = _LAYERS.get(_plain(word), "")
    sized = re.fullmatch(r"conv_?([1-9])(?:x\1)?", word.lower())
    return f"conv {{out|0|16}} k={sized[1]}" if sized and not found else found


def layer_sentence(word: str) -> str:
    """What to do instead of a layer that this language does not have, or has in another form; "" for another word."""
    return _SENTENCES.get(_plain(word), "")


def layer_synonym(word: str) -> str:
    """The layer that other frameworks call `word`, with its fixed words: `pool max` for `MaxPool2d`. "" for another word."""
    template = layer_template(word)
    return " ".join(w for w in template.partition(";")[0].split() if "{" not in w)


def _plain(word: str) -> str:
    return re.sub(r"[-_]|[1-3]d(?=$|transpose)", "", word.lower()).replace("convtransposed", "convtranspose")


def key_synonym(key: str, known: Collection[str]) -> str | None:
    """The one of the `known` keys that other frameworks call `key`; "" for a key that no layer needs, None for another key."""
    if key.lower() in _NEEDLESS or key.lower() in _AS_LAYER:
        return ""
    return next((translated for translated in _KEYS.get(key.lower(), ()) if translated in known), None)


def value_synonym(word: str, known: Collection[str]) -> str | None:
    """The one of the `known` words that other frameworks call `word`; None for another word."""
    translated = (_VALUES.get(word.lower()), _KERNELS.get(word.lower()))
    return next((each for each in translated if each in known), None)


def needless_key_help(key: str) -> str:
    """Help for a key that no layer needs; "" for any other."""
    return _NEEDLESS.get(key.lower(), "")


def layer_of_key(key: str) -> str:
    """`activation`, `bn` or `dropout` for a key such as `act`, which is a layer of its own here; "" for any other."""
    return _AS_LAYER.get(key.lower(), "")


def train_path(name: str) -> str:
    """The train statement, or its argument, that a word means: `optimizer.lr` for `learning_rate`; "" if unknown."""
    return _TRAIN_PATHS.get(name, name if name.partition(".")[0] in _TRAIN else "")


def train_setting(name: str) -> str:
    """The path of a train statement or its argument that `--set NAME` probably means: `train.optimizer.lr`; "" if unknown."""
    path = train_path(name)
    return f"train.{path}" if path else ""


def is_train_statement(word: str) -> bool:
    """Whether the word is a statement of the train section."""
    return word in _TRAIN
