"""Words of PyTorch, Keras, Darknet, Caffe and TensorFlow: each error leads to a source without one, by its own edit."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.report.explanations import pages

# A statement below `input 3x32x32; conv 8 k=3`, and what its edit writes.
LAYERS = """
Conv2d 3 64 3 = conv 64 k=3
Conv2D filters=32 kernel_size=3 strides=2 padding=same = conv 32 k=3 stride=2 pad=same
conv2d 8 k=5 = conv
convolutional filters=16 size=3 stride=1 pad=1 = conv 16 k=3 stride=1 pad=1
Conv2DTranspose 8 2 = conv_transpose 8 k=2
deconv 8 k=2 s=2 = conv_transpose
SeparableConv2D 16 3 = conv c_in k=3 groups=c_in; conv 16 k=1
DepthwiseConv2D 3 = conv c_in k=3 groups=c_in
conv3x3 16 = conv 16 k=3
conv_bn_relu 16 = conv 16 k=3 p=same bias=false; bn; relu
Dense 10 = fc
Dense units=10 = fc 10
linear 128 10 = fc 10
InnerProduct num_output=10 = fc 10
fully_connected 10 = fc
MaxPooling2D 2 = pool max k=2
MaxPool2d kernel_size=3 stride=2 padding=1 = pool max k=3 stride=2 pad=1
AveragePooling2D pool_size=2 = pool avg k=2
pooling 2 = pool max k=2
GlobalAveragePooling2D = global_pool avg
AdaptiveAvgPool2d 1 = global_pool avg
global_max_pool = global_pool max
BatchNormalization = bn
BatchNorm2d 8 = bn
batchnorm = bn
LayerNorm 8 = layer_norm
GroupNorm 4 8 = group_norm groups=4
UpSampling2D 2 = upsample
interpolate scale_factor=2 mode=bilinear = upsample 2 mode=bilinear
ZeroPadding2D padding=1 = pad 1
Cropping2D 2 = crop
ReLU6 = relu6
SiLU = silu
swish = silu
LeakyReLU 0.2 = leaky_relu
LeakyReLU negative_slope=0.2 = leaky_relu 0.2
leaky = leaky_relu 0.1
logistic = sigmoid
act relu = relu
activation leaky = leaky_relu
Activation "softmax" = softmax
Dropout2d 0.5 = dropout
Flatten = flatten
PixelShuffle 2 = depth_to_space
mul 0.5 = scale 0.5
multiply 2 = scale 2
divide 2 = scale
add 1 = normalize mean=-1 std=1
sub 1 = normalize mean=1 std=1
conv 8 k=3 bn=true = conv 8 k=3; bn
conv 8 k=3 batch_normalize=1 p=1 = conv 8 k=3 p=1; bn
conv 8 k=3 bn=false =
conv 8 k=3 act=relu = conv 8 k=3; relu
conv 8 k=3 activation=leaky_relu = conv 8 k=3; leaky_relu
conv 8 k=3 activation="relu" = conv 8 k=3; relu
conv 8 k=3 activation=linear =
fc 10 dropout=0.5 = fc 10; dropout 0.5
conv filters=8 k=3 = out
conv 8 kernel_size=3 = kernel
conv 8 ks=3 = k
conv 8 k=3 strides=2 = stride
conv 8 k=3 padding=same = pad
conv 8 k=3 use_bias=false = bias
conv 8 k=3 dilation_rate=2 = d
conv 8 k=3 group=1 = groups
conv 8 k=3 in_channels=8 =
conv 8 k=3 inplace=true =
conv 8 k=3 trainable=false = frozen=true
conv 8 k=3 kernel_initializer=he = init
conv 8 k=3 name=c = c: conv 8 k=3
conv 8 k 3 = k=3
fc units=10 = out
pool max pool_size=2 = k
pool type=max k=2 = kind
leaky_relu alpha=0.2 = slope
dropout rate=0.3 = p
dropout keep_prob=0.75 = p=0.25
bn epsilon=0.001 = eps
upsample scale_factor=2 = n
upsample size=2 = n
filter sobel = sobel_x
filter blur = gaussian
filter mean k=5 = box
filter laplacian_of_gaussian sigma=2 = log
filter gaussian std=2 = sigma
filter gaussian ksize=5 = k
filter gabor theta=30 = angle
filter gabor lambd=6 = wavelength
filter gabor gamma=0.5 = aspect
softmax dim=1 =
flatten start_dim=1 =
concat axis=1 { relu } { } =
"""

# A statement of a train section with `data digits`, and what its edit writes.
TRAIN = """
lr 0.1 = optimizer sgd lr=0.1
learning_rate 0.1 = optimizer sgd lr=0.1
momentum 0.9 = optimizer sgd lr=0.01 momentum=0.9
weight_decay 0.001 = optimizer sgd lr=0.01 momentum=0.9 weight_decay=0.001
betas 0.9 0.99 = optimizer adam beta1=0.9 beta2=0.99
beta2 0.99 = optimizer adam beta2=0.99
adam lr=0.01 = optimizer adam lr=0.01
early_stopping 5 = stop patience=5
early_stopping patience=7 = stop patience=7
early_stopping = stop patience=5
patience 3 = stop patience=3
shuffle =
shuffle true =
batch_size 64 = batch
batchsize 64 = batch
num_epochs 3 = epochs
epoch 3 = epochs
criterion ce = loss cross_entropy
criterion cross_entropy = loss
metrics acc = metric accuracy
random_seed 1 = seed
grad_clip 1 = clip
scheduler StepLR step_size=3 gamma=0.5 = schedule step every=3 gamma=0.5
lr_schedule cosine = schedule
val_split 0.2 = data digits val=0.2
validation_split 0.2 = data digits val=0.2
warmup 2 = schedule constant warmup=2
label_smoothing 0.1 = loss cross_entropy smoothing=0.1
num_workers 4 =
device cuda =
callbacks 3 =
loss ce = cross_entropy
loss CrossEntropyLoss = cross_entropy
loss NLLLoss = cross_entropy
loss sparse_categorical_crossentropy = cross_entropy
loss CrossEntropyLoss label_smoothing=0.1 = loss cross_entropy smoothing=0.1
optimizer Adam = adam
optimizer Adam learning_rate=0.01 = optimizer adam lr=0.01
optimizer SGD = optimizer sgd lr=0.01
optimizer momentum lr=0.1 = optimizer sgd lr=0.1 momentum=0.9
optimizer adagrad = rmsprop
optimizer adam learning_rate=0.01 = lr
optimizer adam betas=[0.9, 0.99] = beta1=0.9 beta2=0.99
optimizer adam epsilon=0.01 = eps
optimizer adam wd=0.01 = weight_decay
optimizer adam amsgrad=true =
optimizer rmsprop rho=0.9 = decay
schedule CosineAnnealingLR = cosine
schedule CosineAnnealingLR T_max=10 = schedule cosine
schedule OneCycleLR = onecycle
schedule StepLR = schedule step gamma=0.1 every=10
schedule step step_size=3 = every
schedule linear = cosine
metric acc = accuracy
metric top_5 = top5
metric miou = iou
augment hflip = flip
augment translate=2 = shift
augment degrees=10 = rotate
augment crop 4 = crop=4
augment random_brightness=0.2 = brightness
augment brightness_factor=0.2 = brightness
augment random_contrast=0.2 = contrast
loss cross_entropy ignore_index=3 = ignore
"""

# Words without an edit: part of what the help says instead.
SENTENCES = {
    "lstm 64": "no recurrent layers",
    "GRU 64": "no recurrent layers",
    "MultiHeadAttention": "no attention",
    "transformer": "no attention",
    "route": "`from a`",
    "shortcut": "`add a`",
    "Eltwise": "`add a`",
    "permute": "channels first",
    "split": "`slice 0 c_in//2`",
    "yolo": "no detection layer",
    "lr 0.1": "inside `train { ... }`",
    "batch_size 3": "inside `train { ... }`",
}
TRAIN_SENTENCES = {
    "schedule ReduceLROnPlateau": "`stop patience=5`",
    "metric auc": "`metric macro_f1`",
    "dropout 0.5": "it is a layer",
    "iterations 300": "`epochs 10`",
}


def rows(table: str) -> list[tuple[str, str]]:
    pairs = [
        line.rpartition(" =") if line.endswith(" =") else line.partition(" = ") for line in table.strip().splitlines()
    ]
    return [(wrong, written.strip()) for wrong, _, written in pairs]


def errors(text: str) -> list[Diagnostic]:
    return [d for d in check(text).diagnostics if d.severity == "error"]


def assert_the_edit_works(text: str, written: str) -> None:
    (error,) = errors(text)
    (edit,) = error.edits
    assert edit.text == written
    assert written in error.help or not written
    fixed = text[: edit.span.start] + edit.text + text[edit.span.end :]
    assert not errors(fixed)


LAYER_ROWS = [(row, written) for row, written in rows(LAYERS) if row]


@pytest.mark.parametrize(("wrong", "written"), LAYER_ROWS, ids=[wrong for wrong, _ in LAYER_ROWS])
def test_a_layer_of_another_framework(wrong: str, written: str) -> None:
    assert_the_edit_works(f"input 3x32x32\nconv 8 k=3\n{wrong}  # a comment\nfc 10\n", written)


@pytest.mark.parametrize(("wrong", "written"), rows(TRAIN), ids=[wrong for wrong, _ in rows(TRAIN)])
def test_a_word_of_the_train_section(wrong: str, written: str) -> None:
    text = f"input 1x8x8\nfc 10\ntrain {{\n  data digits\n  {wrong}\n}}\n"
    if written.startswith("data"):  # the edit covers both lines
        (error,) = errors(text)
        (edit,) = error.edits
        assert edit.text.split() == written.split()
        assert not errors(text[: edit.span.start] + edit.text + text[edit.span.end :])
    elif "metric iou" in wrong or "miou" in wrong:
        assert [e.text for d in errors(text) for e in d.edits] == [written]
    else:
        assert_the_edit_works(text, written)


def test_an_argument_moves_into_the_statement_that_it_belongs_to() -> None:
    text = "input 1x8x8\nfc 10\ntrain {\n  lr 0.2  # high\n  data digits\n  optimizer adam lr=0.1 beta1=0.8\n}\n"
    (error,) = errors(text)
    assert "`optimizer adam beta1=0.8 lr=0.2`" in error.help
    (edit,) = error.edits
    fixed = text[: edit.span.start] + edit.text + text[edit.span.end :]
    assert check(fixed).recipe is not None
    assert check(fixed).recipe.optimizer.lr == 0.2  # type: ignore[union-attr]


@pytest.mark.parametrize("wrong", SENTENCES)
def test_a_layer_that_does_not_exist(wrong: str) -> None:
    (error,) = errors(f"input 3x32x32\nconv 8 k=3\n{wrong}\nfc 10\n")
    assert SENTENCES[wrong] in error.help
    assert error.code in pages()


@pytest.mark.parametrize("wrong", TRAIN_SENTENCES)
def test_a_statement_that_does_not_exist(wrong: str) -> None:
    (error,) = errors(f"input 1x8x8\nfc 10\ntrain {{\n  data digits\n  {wrong}\n}}\n")
    assert TRAIN_SENTENCES[wrong] in error.help


@pytest.mark.parametrize(
    ("wrong", "fixed"),
    [("epochs=3", "`epochs 3`"), ("batch: 3", "`batch 3`"), ("lr=0.1", "`lr=0.1` in the line of `optimizer`")],
)
def test_a_train_statement_in_another_notation(wrong: str, fixed: str) -> None:
    (error,) = errors(f"input 1x8x8\nfc 10\ntrain {{\n  data digits\n  {wrong}\n}}\n")
    assert fixed in error.help
