"""Warnings about softmax, missing activations, scores and learning rates: what is warned about, and what is not."""

from __future__ import annotations

import pytest

from cnnc.diagnostics import Diagnostic
from cnnc.network import check
from cnnc.recipe.declaration import kinds_of
from cnnc.recipe.optimizers import Optimizer

DIGITS = "train { data digits }"
BCE = 'train { data npz "x"; loss bce }'


def warnings_of(text: str, *settings: str) -> list[Diagnostic]:
    """The warnings of a network, whose lines are separated by semicolons."""
    network = check(text.replace("; train", "\ntrain"), settings=settings)
    assert network.ok, network.diagnostics
    return [d for d in network.diagnostics if d.severity == "warning"]


def found(text: str, *settings: str) -> list[tuple[str, str]]:
    """The codes of the warnings, each with the source that it points at."""
    return [(d.code, d.span.text if d.span is not None else "") for d in warnings_of(text, *settings)]


# --- softmax (W110, W111) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "input 1x8x8; fc 32; softmax; fc 10",
        "input 1x8x8; fc 32; softmax; dropout 0.5; fc 10",
        "input 1x8x8; conv 8 k=3; softmax; pool max k=2; fc 10",
        "input 1x8x8; conv 8 k=3; softmax; bn; conv 8 k=3 bias=false; relu; fc 10",
        "input 1x8x8; conv 8 k=3; softmax; conv_transpose 8 k=3; softmax",
    ],
)
def test_softmax_between_layers_with_weights(text: str) -> None:
    assert found(text) == [("W110", "softmax")]
    assert found(text.replace("softmax;", "relu;")) == []


@pytest.mark.parametrize(
    "text",
    [
        "input 1x8x8; fc 10; softmax",
        "input 1x8x8; conv 10 k=3; softmax",
        "input 4x8x8; a: conv 4 k=1; relu; mul a { softmax }; conv 4 k=1",  # attention
        "input 4x8x8; mul { } { conv 4 k=1; softmax }; relu; conv 4 k=1",
        "input 1x8x8; x: fc 10; p: softmax; fc 4; output p fc2",  # a cascade
        "input 1x8x8; fc 10; p: softmax; q: fc 4; concat p",
    ],
)
def test_a_softmax_that_is_an_output_or_weighs_others(text: str) -> None:
    assert found(text) == []


def test_softmax_of_one_channel() -> None:
    for keyword, constant in (("softmax", 1), ("log_softmax", 0)):
        (warning,) = warnings_of(f"input 1x8x8; fc 1; {keyword}")
        assert warning.code == "W111"
        assert f"always {constant}" in warning.message
    assert found("input 1x8x8; conv 1 k=3; softmax") == [("W111", "softmax")]
    assert found("input 1x8x8; fc 1; sigmoid") == found("input 1x8x8; fc 2; softmax") == []


# --- no activation (W112) ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("input 1x28x28; fc 100; fc 10", "fc 10"),
        ("input 1x28x28; conv 8 k=3; conv 16 k=3; relu", "conv 16 k=3"),
        ("input 3x28x28; conv 8 k=3 bias=false; bn; conv 16 k=3; relu", "conv 16 k=3"),
        ("input 3x28x28; conv 8 k=3 bias=false; bn; dropout 0.2; conv 16 k=3; relu", "conv 16 k=3"),
        ("input 3x28x28; conv 8 k=3; flatten; fc 10", "fc 10"),
        ("input 3x28x28; conv 8 k=3; fc 10", "fc 10"),
        ("input 3x28x28; conv 8 k=3; conv 4 k=1; relu", "conv 4 k=1"),
        ("input 3x20; conv 8 k=3; conv 8 k=3; relu", "conv 8 k=3"),
        ("input 3x20x20; conv 8 k=3; local 8 k=3; relu", "local 8 k=3"),
        ("input 3x20; local 8 k=3; local 4 k=2; relu", "local 4 k=2"),
        ("input 3x20x20; local 8 k=3; fc 10", "fc 10"),
        ("input 8x4x4; conv_transpose 8 k=2 s=2; conv_transpose 4 k=2 s=2; sigmoid", "conv_transpose 4 k=2 s=2"),
        ("input 3x28x28; repeat 3 { conv 8 k=3 }; relu", "conv 8 k=3"),
        ("input 3x28x28; conv 8 k=3; relu; add { conv 8 k=3 p=1; conv 8 k=3 p=1 } { }; relu", "conv 8 k=3 p=1"),
    ],
)
def test_no_activation_between_two_layers(text: str, second: str) -> None:
    (warning,) = warnings_of(text)
    assert warning.code == "W112"
    assert warning.span is not None
    assert warning.span.text == second
    first, rest = text[: warning.span.start], text[warning.span.end :]
    if "repeat" in text:
        assert warning.help.startswith("write `relu` after it")
        assert found(text.replace(f"{second} }}; relu", f"{second}; relu }}")) == []
    else:
        assert warning.help.startswith("write `relu` between them")
        assert found(f"{first}relu; {second}{rest}") == []
        assert found(f"{first}{second}  # allow W112\n{rest.removeprefix(';')}") == []


def test_a_conv_after_a_local_is_no_conv() -> None:
    """Together they are a local, but not one conv; nor are a 1xN and an Nx1 window one local of few weights."""
    assert found("input 3x20x20; local 8 k=3; conv 8 k=3; relu") == []
    assert found("input 3x20x20; local 8 k=1x7; local 8 k=7x1; relu") == []


def test_the_bias_of_a_local_stays_before_a_bn() -> None:
    """It differs from position to position, and the bn subtracts one mean per channel."""
    assert [code for code, _ in found("input 3x20x20; conv 8 k=3; bn; relu")] == ["W105"]
    assert found("input 3x20x20; local 8 k=3; bn; relu") == []


def test_a_local_that_reads_a_softmax() -> None:
    assert [code for code, _ in found("input 3x8x8; softmax; local 8 k=3; relu")] == ["W110"]


def test_a_weight_that_no_machine_holds() -> None:
    """The network can be checked, with its figures; another lint is about its share of the parameters."""
    (warning,) = [w for w in warnings_of("input 1x1000x1000; fc 1000000") if w.code == "W113"]
    assert "1,000,000,000,000 elements, 4,000.0 GB" in warning.message
    (warning,) = warnings_of("input 1x1000x1000; a: local 100 k=11 p=same; relu")
    assert (warning.code, warning.help) == ("W113", "write `conv 100 k=11 p=same`, which shares one window")
    assert found("input 1x1000x1000; local 1 k=11 p=same; relu") == []


PUBLISHED = {
    "MobileNet": "conv c_in k=3 p=1 groups=c_in; conv 32 k=1; relu",
    "MobileNetV2": """repeat 2 {
  conv 6*c_in k=1 bias=false; bn; relu6
  conv c_in k=3 p=1 groups=c_in bias=false; bn; relu6
  conv 24 k=1 bias=false; bn
}
conv 96 k=1; relu""",
    "Xception": "conv c_in k=3 p=1 groups=c_in; conv 32 k=1 bias=false; bn; relu",
    "ShuffleNet": """conv 16 k=1 groups=4 bias=false; bn; relu; channel_shuffle 4
conv c_in k=3 p=1 groups=c_in bias=false; bn; conv 16 k=1 groups=4 bias=false; bn; add in2; relu""",
    "ResNet": "add { conv 8 k=1; relu; conv 8 k=3 p=1; relu; conv 16 k=1 } { }; relu",
    "ConvNeXt": "add { conv c_in k=7 p=3 groups=c_in; layer_norm; conv 64 k=1; gelu; conv 16 k=1 } { }; conv 32 k=2 s=2; relu",
    "Inception": "conv 16 k=1x7 p=0x3; conv 16 k=7x1 p=3x0; relu",
    "low rank": "conv 4 k=1; conv 32 k=3; relu",
    "low-rank fc": "relu; fc 8; fc 100; relu; fc 10",
    "FCN": "conv 5 k=1; conv_transpose 5 k=4 s=2 p=1; softmax",
    "EDSR": "conv 12 k=3 p=1; depth_to_space 2; conv 3 k=3 p=1",
    "RefineNet": "add { conv 16 k=3 p=1 } { conv 16 k=1 }; conv 8 k=3; relu",
    "FPN": "a: conv 8 k=1; p: conv 8 k=3 p=1; from a; upsample 2; q: conv 8 k=3 p=1; output p q",
    "U-Net": "conv_transpose 8 k=2 s=2; concat { } { }; conv 8 k=3; relu",
    "squeeze and excitation": "mul { } { global_pool avg; conv 4 k=1; relu; conv 16 k=1; sigmoid }; conv 8 k=3; relu",
    "global average": "conv 8 k=1; global_pool avg; fc 4",
    "average pool": "conv 8 k=3; pool avg k=2; conv 8 k=3; relu",
    "autoencoder": "fc 64; relu; code: fc 8; fc 64; relu; fc 100; sigmoid",
    "frozen": "conv 32 k=3 frozen=true; conv 8 k=1; relu",
    "feature output": "conv 32 k=3; conv 8 k=1; output conv1 conv2",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_that_are_linear_on_purpose(name: str) -> None:
    assert found(f"in2: input 16x28x28\n{PUBLISHED[name]}") == []


# --- scores (W503) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        (
            f"input 1x8x8; conv 10 k=3; global_pool avg; softmax; flatten; {DIGITS}",
            f"input 1x8x8; conv 10 k=3; global_pool avg; flatten; softmax; {DIGITS}",
        ),
        (
            f"input 1x8x8\nfc 64\nsigmoid\nreshape 1x8x8\n{BCE}",
            f"input 1x8x8\nfc 64\nreshape 1x8x8\nsigmoid\n{BCE}",
        ),
    ],
)
def test_the_activation_of_the_loss_above_a_reshape_moves_below_it(text: str, fixed: str) -> None:
    (warning,) = warnings_of(text)
    (edit,) = warning.edits
    assert warning.code == "W503"
    assert text[: edit.span.start] + edit.text + text[edit.span.end :] == fixed


@pytest.mark.parametrize(
    ("text", "activation"),
    [
        (f"input 1x8x8; fc 10; relu; {DIGITS}", "relu"),
        (f"input 1x8x8; fc 10; sigmoid; {DIGITS}", "sigmoid"),
        (f"input 1x8x8; fc 10; tanh; softmax; {DIGITS}", "tanh"),
        (f"input 1x8x8; fc 10; clip 0 1; softmax; {DIGITS}", "clip 0 1"),
        (f"input 1x8x8; conv 10 k=3; global_pool avg; relu; flatten; softmax; {DIGITS}", "relu"),
        (f"input 1x8x8; fc 10; softmax; s: identity; {DIGITS}", "softmax"),
        ('input 1x8x8; conv 3 k=1; relu; softmax; train { data npz "x" }', "relu"),
        ('input 1x8x8; conv 3 k=1; relu; train { data npz "x"; loss cross_entropy }', "relu"),
        (f"input 1x8x8; fc 1; relu; {BCE}", "relu"),
        (f"input 1x8x8; fc 1; relu; reshape 1x1x1; sigmoid; {BCE}", "relu"),
        (f"input 1x8x8; fc 3; softmax; {BCE}", "softmax"),
        (f"input 1x8x8; fc 1; hard_sigmoid; {BCE}", "hard_sigmoid"),
    ],
)
def test_an_activation_on_the_scores(text: str, activation: str) -> None:
    assert found(text) == [("W503", activation)]
    (warning,) = warnings_of(text)
    assert warning.help == "remove it"
    assert found(text.replace(f"; {activation};", ";", 1)) == []
    assert found(text.replace(f"; {activation};", f"; {activation}  # allow W503\n", 1)) == []


@pytest.mark.parametrize(
    "text",
    [
        f"input 1x8x8; fc 10; softmax; {DIGITS}",
        f"input 1x8x8; fc 10; log_softmax; {DIGITS}",
        f"input 1x8x8; fc 10; scale 0.1; softmax; {DIGITS}",
        f"input 1x8x8; conv 10 k=3; relu; global_pool avg; softmax; {DIGITS}",  # Network in Network, SqueezeNet
        f"input 1x8x8; fc 32; relu; fc 10; {DIGITS}",
        f"input 1x8x8; fc 1; sigmoid; {BCE}",
        f"input 1x8x8; fc 1; {BCE}",
        'input 1x8x8; fc 4; relu; train { data npz "x"; loss mse }',
        'input 1x8x8; fc 4; sigmoid; train { data npz "x"; loss l1 }',
    ],
)
def test_scores_without_an_activation(text: str) -> None:
    assert found(text) == []


def test_an_activation_that_others_use_too() -> None:
    block = "block unit(w) { fc w; relu }; input 1x8x8; unit 32; unit 10; train { data digits }"
    (warning,) = warnings_of(block)
    assert (warning.code, warning.help) == ("W503", "add `fc 10` after it")
    assert found(block.replace("unit 10", "unit 10; fc 10")) == []


def test_an_activation_whose_name_is_used() -> None:
    for network in (
        'input 4; h: fc 3; s: sigmoid; from h; t: tanh; output s t; train { data npz "x"; loss cross_entropy on=s; loss mse on=t }',
        f"input 1x8x8; fc 10; s: relu; from s; softmax; {DIGITS}",
        'input 4; h: fc 3; sigmoid; from h; t: tanh; output sigmoid1 t; train { data npz "x"; loss cross_entropy }',
    ):
        (warning,) = warnings_of(network)
        assert warning.code == "W503"
        assert warning.span is not None
        edit = warning.help.removeprefix("write `").removesuffix("`")
        assert edit in ("s: identity", "sigmoid1: identity")
        assert found(network[: warning.span.start] + edit + network[warning.span.end :]) == []


def test_two_activations_in_a_row_are_one_warning() -> None:
    assert found(f"input 1x8x8; fc 10; relu; log_softmax; {DIGITS}") == [("W104", "log_softmax")]
    assert found(f"input 1x8x8; fc 10; softmax; softmax; {DIGITS}") == [("W104", "softmax")]
    assert found(f"input 1x8x8; fc 1; relu; sigmoid; {BCE}") == [("W104", "sigmoid")]


# --- learning rates (W504) --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds_of(Optimizer))
def test_learning_rates(kind: str) -> None:
    def codes(rate: float) -> list[str]:
        network = f"input 1x8x8; fc 10; train {{ data digits; optimizer {kind} lr={rate} }}"
        return [code for code, _ in found(network)]

    least, most = kinds_of(Optimizer)[kind].usual_rates
    assert codes(least) == codes(most) == codes(0.001) == []
    assert codes(least / 2) == codes(most * 2) == ["W504"]


def test_the_learning_rate_of_an_option_and_of_a_variable() -> None:
    text = "input 1x8x8; fc 10; train { data digits; optimizer sgd lr=0.1 }"
    (warning,) = warnings_of(text, "train.optimizer.lr=30")
    assert (warning.code, warning.help) == ("W504", 'write `settings=["train.optimizer.lr=0.01"]`')
    assert found(text, "train.optimizer.lr=0.01") == []
    assert found("input 1x8x8; fc 10; train { data digits }", "train.optimizer.lr=30")[0][0] == "W504"
    assert found("let r = 5; input 1x8x8; fc 10; train { data digits; optimizer sgd lr=r }") == [("W504", "lr=r")]
    allowed = "input 1x8x8; fc 10; train { data digits\noptimizer sgd lr=5  # allow W504\n}"
    assert found(allowed) == []
