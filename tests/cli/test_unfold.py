"""`cnnc unfold` on matrices of the command line: what it prints, against worked examples of textbooks, and its errors."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Cnnc, codes, json_of

X, K = "1 3 -1; 2 1 0; 0 2 -1", "1 0; 2 -1"


def lines(cnnc: Cnnc, *words: str, **options: Any) -> list[str]:
    done = cnnc("unfold", *words, **options)
    assert (done.returncode, done.stderr) == (0, "")
    return list(done.stdout.splitlines())


def test_one_output(cnnc: Cnnc) -> None:
    assert cnnc("unfold", X, "--kernel", K, "--at", "0,1").stdout == (
        "S(0,1) = 3·1 + (-1)·0 + 1·2 + 0·(-1) = 5\n"
        "\n"
        "input 3x3          kernel 2x2       output 2x2\n"
        " 1  [3] [-1]   ∗    1    0      =    4  [5]\n"
        " 2  [1]  [0]        2   -1           0   6\n"
        " 0   2   -1\n"
        "\n"
        "out = floor((3 + 0 + 0 - 2)/1) + 1 = 2 (height and width)\n"
        "params = 1·(1·2·2) = 4\n"
        "MACs = 1·2·2·(1·2·2) = 16\n"
        "[ ] what the sum reads, and its result\n"
    )


def test_goodfellow_figure_9_1(cnnc: Cnnc) -> None:
    """Goodfellow, Bengio and Courville 2016, figure 9.1: a 3x4 input with the letters a to l, and the kernel w x y z."""
    assert lines(cnnc, "a b c d; e f g h; i j k l", "--kernel", "w x; y z")[:6] == [
        "S(0,0) = a·w + b·x + e·y + f·z",
        "S(0,1) = b·w + c·x + f·y + g·z",
        "S(0,2) = c·w + d·x + g·y + h·z",
        "S(1,0) = e·w + f·x + i·y + j·z",
        "S(1,1) = f·w + g·x + j·y + k·z",
        "S(1,2) = g·w + h·x + k·y + l·z",
    ]


def test_dumoulin_and_visin(cnnc: Cnnc) -> None:
    """Dumoulin and Visin 2016, figure 1.1: the output 12 12 17 / 10 17 19 / 9 6 14."""
    x = "3 3 2 1 0; 0 0 1 3 1; 3 1 2 2 3; 2 0 0 2 2; 2 0 0 0 1"
    kernel = "0 1 2; 2 2 0; 0 1 2"
    found = json_of(cnnc("unfold", x, "--kernel", kernel, "--json"))
    assert found["output"] == [[[12, 12, 17], [10, 17, 19], [9, 6, 14]]]
    average = json_of(cnnc("unfold", x, "--pool", "avg", "-k", "3", "-s", "1", "--json"))
    assert average["output"][0][0] == ["5/3", "5/3", "5/3"]  # figure 1.5: 1.7 1.7 1.7
    largest = json_of(cnnc("unfold", x, "--pool", "max", "-k", "3", "-s", "1", "--json"))
    assert largest["output"] == [[[3, 3, 3], [3, 3, 3], [3, 2, 3]]]  # figure 1.6


def test_three_channels_and_a_bias(cnnc: Cnnc) -> None:
    """In the form of the convolution demo of CS231n: three channels of 5x5, padding 1, stride 2, and a bias."""
    channels = (
        "0 1 1 0 2; 2 2 2 2 1; 1 0 0 2 0; 0 1 1 0 0; 1 2 0 0 2",
        "1 0 2 2 0; 0 0 0 2 0; 1 2 1 2 1; 1 0 0 0 0; 1 2 1 1 1",
        "2 1 2 0 0; 1 0 0 1 0; 0 2 1 0 1; 0 1 2 2 2; 2 1 0 0 1",
    )
    kernels = ("-1 0 1; 0 0 1; 1 -1 1", "-1 0 1; 1 -1 1; 0 1 0", "-1 1 1; 1 1 0; 0 -1 0")
    words = ("|".join(channels), "--kernel", "|".join(kernels), "--bias", "1", "-s", "2", "-p", "1")
    assert lines(cnnc, *words, "--at", "0,0")[:5] == [
        "channel 0: 0·0 + 1·1 + 2·(-1) + 2·1 = 1",
        "channel 1: 1·(-1) + 0·1 + 0·1 + 0·0 = -1",
        "channel 2: 2·1 + 1·0 + 1·(-1) + 0·0 = 1",
        "bias: 1",
        "S(0,0) = 1 + (-1) + 1 + 1 = 2",
    ]
    assert "params = 1·(3·3·3) + 1 = 28" in lines(cnnc, *words)
    assert json_of(cnnc("unfold", *words, "--json"))["output"][0][0][0] == 2


def test_letters_and_numbers_are_merged(cnnc: Cnnc) -> None:
    assert lines(cnnc, "a b c d e f", "--kernel", "x y z", "-p", "same")[:6] == [
        "S(0) = a·y + b·z",
        "S(1) = a·x + b·y + c·z",
        "S(2) = b·x + c·y + d·z",
        "S(3) = c·x + d·y + e·z",
        "S(4) = d·x + e·y + f·z",
        "S(5) = e·x + f·y",
    ]
    assert lines(cnnc, "a b", "--kernel", "2 -1")[0] == "S(0) = a·2 + b·(-1) = 2·a - b"
    assert lines(cnnc, "a a 1", "--kernel", "x x 0.5")[0] == "S(0) = a·x + a·x + 1·0.5 = 2·a·x + 0.5"
    assert lines(cnnc, "-a 2·b", "--kernel", "1 1/3")[0] == "S(0) = (-a)·1 + (2·b)·(1/3) = -a + 2/3·b".replace(
        "(2·b)", "2·b"
    )


@pytest.mark.parametrize(
    "text",
    [
        "1 2;3 4",
        "1,2;3,4",
        "1, 2; 3, 4",
        "1 2\n3 4\n",
        "1 2 / 3 4",
        "[[1, 2], [3, 4]]",
        "[[1,2],[3,4]]",
        "[1 2; 3 4]",
        "1 2; 3 4;",
    ],
)
def test_ways_to_write_a_matrix(cnnc: Cnnc, text: str) -> None:
    assert json_of(cnnc("unfold", text, "--kernel", "1", "--json"))["input"] == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize(
    "text", ["1 2; 3 4 | 5 6; 7 8", "[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]", "[[1,2],[3,4]]|[[5,6],[7,8]]"]
)
def test_ways_to_write_channels(cnnc: Cnnc, text: str) -> None:
    found = json_of(cnnc("unfold", text, "--kernel", "1 | 1", "--json"))
    assert found["input"] == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert found["output"] == [[[6, 8], [10, 12]]]


def test_a_single_row_is_a_sequence_if_the_kernel_is_one(cnnc: Cnnc) -> None:
    assert json_of(cnnc("unfold", "1 2 3", "--kernel", "1 1", "--json"))["output"] == [[3, 5]]
    assert json_of(cnnc("unfold", "1 2 3; 4 5 6", "--kernel", "1 1", "--json"))["output"] == [[[3, 5], [9, 11]]]
    assert lines(cnnc, "1 2 3", "--kernel", "1 1", "-p", "causal")[:3] == [
        "S(0) = 1·1 = 1",
        "S(1) = 1·1 + 2·1 = 3",
        "S(2) = 2·1 + 3·1 = 5",
    ]


def test_a_matrix_may_begin_with_a_minus(cnnc: Cnnc) -> None:
    assert lines(cnnc, "-1 a; b c", "--kernel", "-1 -b")[0] == "S(0,0) = (-1)·(-1) + a·(-b) = 1 - a·b"
    assert lines(cnnc, "-a b; b c", "--kernel", "-1")[0] == "S(0,0) = (-a)·(-1) = a"
    assert lines(cnnc, "-3", "--kernel", "-0.5")[0] == "S(0) = (-3)·(-0.5) = 1.5"


def test_numbers_are_exact(cnnc: Cnnc) -> None:
    assert lines(cnnc, "0.1 0.2", "--kernel", "1 1")[0] == "S(0) = 0.1·1 + 0.2·1 = 0.3"
    assert lines(cnnc, "1 2", "--kernel", "1/3 1/3")[0] == "S(0) = 1·(1/3) + 2·(1/3) = 1"
    assert lines(cnnc, "1e3 .5", "--kernel", "1 2")[0] == "S(0) = 1000·1 + 0.5·2 = 1001"
    assert lines(cnnc, "123456789 987654321", "--kernel", "123456789 0")[0].endswith(" = 15241578750190521")
    assert lines(cnnc, "1 0; 0 1; 0 0", "--kernel", "0 1; 1 0", "-p", "1")[0] == "S(0,0) = 1·0 = 0"


def test_a_matrix_from_a_file(cnnc: Cnnc, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1,3,-1\n2,1,0\n0,2,-1\n")
    (tmp_path / "k.txt").write_text("1 0\n2 -1\n")
    assert lines(cnnc, "@x.csv", "--kernel", "@k.txt") == lines(cnnc, X, "--kernel", K)
    done = cnnc("unfold", "@none.csv", "--kernel", "1")
    assert (done.returncode, codes(done.stderr)) == (6, ["E901"])
    done = cnnc("unfold", "-", "--kernel", "1")  # standard input is empty
    assert "standard input is empty" in done.stderr


def test_named_kernels(cnnc: Cnnc) -> None:
    assert "input 3x3         kernel 3x3        output 1x1" in lines(cnnc, X, "--kernel", "sobel_x")
    assert json_of(cnnc("unfold", "9 9 9; 9 9 9; 9 9 9", "--kernel", "box", "--json"))["output"] == [[[9]]]
    assert lines(cnnc, "1 2 3; 4 5 6; 7 8 9", "--kernel", "gaussian k=1")[0] == "S(0,0) = 1·1 = 1"
    assert lines(cnnc, X, "--kernel", "gabor k=3 wavelength=3", "--at", "0,0")[-4].startswith("out = ")
    done = cnnc("unfold", X, "--kernel", "gaussian k=5 angle=3")
    assert (done.returncode, codes(done.stderr)) == (2, ["E010"])


# --- true convolution ------------------------------------------------------------------------------------------------


def plain_convolution(x: list[list[int]], kernel: list[list[int]]) -> list[list[int]]:
    """The full two-dimensional convolution by its definition: Σ x(m, n)·kernel(i - m, j - n)."""
    height, width = len(x) + len(kernel) - 1, len(x[0]) + len(kernel[0]) - 1
    result = [[0] * width for _ in range(height)]
    for m, row in enumerate(x):
        for n, value in enumerate(row):
            for a, kernel_row in enumerate(kernel):
                for b, weight in enumerate(kernel_row):
                    result[m + a][n + b] += value * weight
    return result


def test_flip_is_the_convolution_of_mathematics(cnnc: Cnnc) -> None:
    random = np.random.default_rng(1)
    for _ in range(5):
        x, kernel = (random.integers(-9, 10, random.integers(1, 5, 2)).tolist() for _ in range(2))
        full = json_of(cnnc("unfold", str(x), "--kernel", str(kernel), "-p", "full", "--flip", "--json"))
        output = full["output"][0]
        assert (output if len(x) > 1 or len(kernel) > 1 else [output]) == plain_convolution(x, kernel)


@pytest.mark.long
def test_flip_equals_scipy(cnnc: Cnnc) -> None:
    signal = pytest.importorskip("scipy.signal")
    for mode, padding in (("valid", "0"), ("full", "full"), ("same", "same")):
        found = json_of(cnnc("unfold", X, "--kernel", "1 2 0; 0 -1 3; 2 2 1", "-p", padding, "--flip", "--json"))
        expected = signal.convolve([[1, 3, -1], [2, 1, 0], [0, 2, -1]], [[1, 2, 0], [0, -1, 3], [2, 2, 1]], mode=mode)
        assert found["output"][0] == expected.tolist()


def test_flip_shows_the_turned_kernel(cnnc: Cnnc) -> None:
    printed = lines(cnnc, X, "--kernel", K, "--flip")
    assert printed[0] == "S(0,0) = 1·(-1) + 3·2 + 2·0 + 1·1 = 6"
    assert printed[5:8] == ["kernel 2x2", " 1    0", " 2   -1"]
    assert printed[9:12] == [
        "input 3x3         turned kernel 2x2       output 2x2",
        " 1   3   -1   ∗    -1   2             =    6   -5",
        " 2   1    0         0   1                  2   -2",
    ]
    assert any("scipy.signal.convolve" in line for line in printed)


# --- matrices --------------------------------------------------------------------------------------------------------


def test_im2col(cnnc: Cnnc) -> None:
    printed = "\n".join(lines(cnnc, X, "--kernel", K, "--im2col", "--at", "0,1"))
    assert (
        "     0,0   0,1   1,0   1,1\n"
        "0 |    0    [1]    3     4\n"
        "1 |    1    [2]    4     5\n"
        "2 |    3    [4]    6     7\n"
        "3 |    4    [5]    7     8\n"
    ) in printed
    assert (
        "kernel 1x4            columns 4x4            result 1x4\n"
        " 1   0   2   -1   ·    1   [3]  2    1   =    4  [5]  0   6\n"
        "                       3  [-1]  1    0\n"
        "                       2   [1]  0    2\n"
        "                       1   [0]  2   -1\n"
    ) in printed
    found = json_of(cnnc("unfold", X, "--kernel", K, "-p", "1", "--im2col", "--json"))["im2col"]
    assert [row[0] for row in found["elements"]] == [-1, -1, -1, 0]
    assert [row[0] for row in found["values"]] == [0, 0, 0, 1]


def test_toeplitz_of_a_sequence(cnnc: Cnnc) -> None:
    assert lines(cnnc, "a b c d", "--kernel", "x y", "--toeplitz")[4:] == [
        "W 3x4                    x        h",
        "     0   1   2   3        a        a·x + b·y",
        "0 |  x   y   ·   ·   ·    b   =    b·x + c·y",
        "1 |  ·   x   y   ·        c        c·x + d·y",
        "2 |  ·   ·   x   y        d",
        "",
        "A Toeplitz matrix: one row per output, one column per input element; 6 of 12 entries are weights, 2 different ones.",
        "· always 0",
    ]
    found = json_of(cnnc("unfold", "a b c d", "--kernel", "x y", "--toeplitz", "--json"))
    assert found["toeplitz"] == [["x", "y", 0, 0], [0, "x", "y", 0], [0, 0, "x", "y"]]


def test_circulant_matrices(cnnc: Cnnc) -> None:
    words = ("a b c d", "--kernel", "x y z", "--circular")
    found = json_of(cnnc("unfold", *words, "--toeplitz", "--json"))["toeplitz"]
    assert found == [["y", "z", 0, "x"], ["x", "y", "z", 0], [0, "x", "y", "z"], ["z", 0, "x", "y"]]
    for above, below in pairwise(found):
        assert below == [above[-1], *above[:-1]]
    assert any(line.startswith("A circulant matrix") for line in lines(cnnc, *words, "--toeplitz"))
    assert lines(cnnc, *words)[0] == "S(0) = d·x + a·y + b·z"
    image = ("1 2; 3 4", "--kernel", "a b; c d", "--circular", "--toeplitz")
    assert any(line.startswith("A doubly block-circulant matrix") for line in lines(cnnc, *image))


# --- other layers ----------------------------------------------------------------------------------------------------


def test_pooling(cnnc: Cnnc) -> None:
    x = "3 1 2 0; 1 5 0 2"
    assert lines(cnnc, x, "--pool", "max", "-k", "2")[:2] == [
        "S(0,0) = max(3, 1, 1, 5) = 5",
        "S(0,1) = max(2, 0, 0, 2) = 2",
    ]
    assert lines(cnnc, x, "--pool", "avg", "-k", "2")[0] == "S(0,0) = (3 + 1 + 1 + 5)/4 = 2.5"
    assert lines(cnnc, x, "--pool", "l2", "-k", "2")[:2] == [
        "S(0,0) = √(3² + 1² + 1² + 5²) = 6",
        "S(0,1) = √(2² + 0² + 0² + 2²) ≈ 2.828",
    ]
    assert lines(cnnc, x, "--pool", "lp", "--norm", "1", "-k", "2")[0] == ("S(0,0) = |3| + |1| + |1| + |5| = 10")
    assert lines(cnnc, "1 3", "--pool", "weighted", "-k", "2")[0] == "S(0) = 1·0.5 + 3·0.5 ≈ 2"
    assert lines(cnnc, "a b c d", "--pool", "max", "-k", "2")[0] == "S(0) = max(a, b)"
    assert lines(cnnc, "a b c d", "--pool", "avg", "-k", "3", "-s", "1", "-p", "1")[:2] == [
        "S(0) = (a + b)/2",
        "S(1) = (a + b + c)/3",
    ]


def test_transposed_convolution(cnnc: Cnnc) -> None:
    printed = lines(cnnc, "1 2; 3 4", "--kernel", "1 2; 3 4", "--transposed", "--at", "1,1")
    assert printed[0] == "S(1,1) = 1·4 + 2·3 + 3·2 + 4·1 = 20"
    assert printed[7:11] == [
        "1·kernel, x(0,0)       2·kernel, x(0,1)       3·kernel, x(1,0)       4·kernel, x(1,1)",
        " 1   2   ·              ·   2   4              ·    ·   ·             ·    ·    ·",
        " 3  [4]  ·         +    ·  [6]  8         +    3   [6]  ·        +    ·   [4]   8",
        " ·   ·   ·              ·   ·   ·              9   12   ·             ·   12   16",
    ]
    found = json_of(cnnc("unfold", "1 2; 3 4", "--kernel", "1 2; 3 4", "--transposed", "-s", "2", "--json"))
    assert found["output"] == [[[1, 2, 2, 4], [3, 4, 6, 8], [3, 6, 4, 8], [9, 12, 12, 16]]]


# --- gradients -------------------------------------------------------------------------------------------------------


def test_gradients(cnnc: Cnnc) -> None:
    printed = lines(cnnc, X, "--kernel", K, "--backward", "--gradient", "1 0; 0 2")
    assert printed[:6] == [
        "dL/dw(0,0) = 1·1 + 0·3 + 0·2 + 2·1 = 3",
        "dL/dw(0,1) = 1·3 + 0·(-1) + 0·1 + 2·0 = 3",
        "dL/dw(1,0) = 1·2 + 0·1 + 0·0 + 2·2 = 6",
        "dL/dw(1,1) = 1·1 + 0·0 + 0·2 + 2·(-1) = -1",
        "dL/dx(0,0) = 1·1 = 1",
        "dL/dx(0,1) = 1·0 + 0·1 = 0",
    ]
    at = lines(cnnc, X, "--kernel", K, "--backward", "--gradient", "1 0; 0 2", "--input-at", "1,1")
    assert at[0] == "dL/dx(1,1) = 1·(-1) + 0·2 + 0·0 + 2·1 = 1"
    assert "dL/dx is dL/dS, padded by 1, correlated with the turned kernel, which is the full correlation." in at
    weight = lines(cnnc, X, "--kernel", K, "--backward", "--weight-at", "1,1")
    assert weight[0] == "dL/dw(1,1) = 1·1 + 1·0 + 1·2 + 1·(-1) = 2"
    both = lines(cnnc, X, "--kernel", K, "--backward", "--weight-at", "1,1", "--input-at", "0,2")
    assert both[:3] == ["dL/dw(1,1) = 1·1 + 1·0 + 1·2 + 1·(-1) = 2", "dL/dx(0,2) = 1·0 = 0", ""]


def test_padding_is_not_the_input_repeated(cnnc: Cnnc) -> None:
    printed = lines(cnnc, "1 2 3", "--kernel", "1 2 3", "-p", "1", "--im2col")
    assert "0 |  ·   0   1" in printed
    assert printed[-1] == "· padding: 0"


def test_large_whole_numbers_stay_whole(cnnc: Cnnc) -> None:
    assert lines(cnnc, "1e30 1", "--kernel", "3e9")[:2] == [
        "S(0) = 1e30·3000000000 = 3e39",
        "S(1) = 1·3000000000 = 3000000000",
    ]
    assert lines(cnnc, "1234567890123456789012345 1", "--kernel", "1")[0].endswith(" = 1234567890123456789012345")


@pytest.mark.long
def test_the_part_of_a_large_matrix_holds_what_the_sum_reads(cnnc: Cnnc) -> None:
    x = "; ".join(" ".join(str((7 * i + 3 * j) % 10) for j in range(40)) for i in range(40))
    printed = lines(cnnc, x, "--kernel", K, "-s", "4", "--toeplitz", "--at", "5,5")
    text = "\n".join(printed)
    assert re.search(r"^ *5,5 \| +\[1\] +\[0\]", text, re.MULTILINE), "the row of the sum begins with its first weights"
    assert re.search(r"20,20 \| +\[0\]", text), "x"
    assert re.search(r"5,5 \| +\[-?\d+\] *$", text, re.MULTILINE), "h"


def test_at_is_the_output_of_a_gradient_too(cnnc: Cnnc) -> None:
    """It chooses the gradients of the largest product of this output, as on a layer of a network."""
    words = (X, "--kernel", K, "--backward", "--gradient", "1 2; 3 4")
    assert lines(cnnc, *words, "--at", "0,0")[:3] == [  # 1·1 + 3·0 + 2·2 + 1·(-1)
        "dL/dw(1,0) = 1·2 + 2·1 + 3·0 + 4·2 = 12",
        "dL/dx(1,0) = 1·2 + 3·1 = 5",
        "",
    ]
    assert lines(cnnc, *words, "--at", "0,0", "--input-at", "2,2")[:2] == [
        "dL/dw(1,0) = 1·2 + 2·1 + 3·0 + 4·2 = 12",
        "dL/dx(2,2) = 4·(-1) = -4",
    ]
    letters = lines(cnnc, "a b c", "--kernel", "x y", "--backward", "--gradient", "p q", "--at", "1")
    assert letters[:2] == ["dL/dw(0) = p·a + q·b", "dL/dx(1) = p·y + q·x"]
    pooled = lines(cnnc, "-5 -1 2 1", "--pool", "max", "-k", "2", "--backward", "--at", "0")
    assert pooled[0] == "dL/dx(1) = 1·1 = 1"
    found = json_of(cnnc("unfold", *words, "--at", "0,0", "--json"))
    assert [s["index"] for s in found["gradients"]] == [[0, 0, 1, 0], [0, 1, 0]]


@pytest.mark.parametrize("padding", ["0", "1", "same", "full"])
def test_gradients_are_the_correlations_that_are_shown(cnnc: Cnnc, padding: str) -> None:
    """What the remarks say, typed as commands, gives the same gradients."""
    words = (X, "--kernel", K, "-p", padding)
    output = json_of(cnnc("unfold", *words, "--json"))["output"][0]
    gradient = [[(3 * i - 2 * j) % 5 for j in range(len(output[0]))] for i in range(len(output))]
    found = json_of(cnnc("unfold", *words, "--backward", "--gradient", json.dumps(gradient), "--json"))
    dw = json_of(
        cnnc(
            "unfold",
            X,
            "--kernel",
            json.dumps(gradient),
            "-p",
            padding if padding.isdigit() else {"same": "[0,0,1,1]", "full": "1"}[padding],
            "--json",
        )
    )
    assert dw["output"][0] == found["weight_gradient"][0][0]
    around = {"0": "full", "1": "0", "same": "[1,1,0,0]", "full": "0"}[padding]
    dx = json_of(cnnc("unfold", json.dumps(gradient), "--kernel", "-1 2; 0 1", "-p", around, "--json"))
    assert dx["output"][0] == found["input_gradient"][0]


# --- files -----------------------------------------------------------------------------------------------------------


def test_svg_and_html(cnnc: Cnnc, tmp_path: Path) -> None:
    done = cnnc("unfold", X, "--kernel", K, "--at", "0,1", "--svg", "a.svg", "--html", "a.html")
    assert (done.returncode, done.stdout) == (0, "wrote a.svg\nwrote a.html\n")
    formula = "S(0,1) = 3·1 + (-1)·0 + 1·2 + 0·(-1) = 5"
    assert formula in (tmp_path / "a.svg").read_text(encoding="utf-8")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert formula in page
    steps = json.loads(page.split('id="steps">')[1].split("</script>")[0])["steps"]
    assert steps[3]["lines"] == "S(1,1) = 1·1 + 0·0 + 2·2 + (-1)·(-1) = 6"
    assert cnnc("unfold", X, "--kernel", K, "--svg", "a.svg", "--html", "a.html").returncode == 0
    (tmp_path / "b.html").write_text("mine")
    done = cnnc("unfold", X, "--kernel", K, "--html", "b.html")
    assert (done.returncode, codes(done.stderr)) == (6, ["E902"])
    assert cnnc("unfold", X, "--kernel", K, "--html", "b.html", "--force").returncode == 0


@pytest.mark.long
def test_a_large_matrix_is_shown_in_part(cnnc: Cnnc, tmp_path: Path) -> None:
    rows = "\n".join(",".join(str(40 * i + j) for j in range(40)) for i in range(40))
    (tmp_path / "x.csv").write_text(rows)
    printed = lines(cnnc, "@x.csv", "--kernel", "1 0; 0 1", "--at", "30,20", "--html", "x.html") and lines(
        cnnc, "@x.csv", "--kernel", "1 0; 0 1", "--at", "30,20"
    )
    assert printed[0] == "S(30,20) = 1220·1 + 1221·0 + 1260·0 + 1261·1 = 2481"
    assert any("[1220]" in line for line in printed)
    assert any("(shown are rows 25 to 36 of 40 and columns 15 to 26 of 40)" in line for line in printed)
    assert max(map(len, printed)) <= 120
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "shown are rows" in page
    assert "The steps are 400 of 1,521, around the one that --at names." in page
    assert "that lie in the part that is shown" in page


def test_the_option_says_what_kind_of_file_is_written(cnnc: Cnnc, tmp_path: Path) -> None:
    """A file name without a suffix is allowed."""
    assert cnnc("unfold", X, "--kernel", K, "--svg", "drawn", "--html", "page").returncode == 0
    assert (tmp_path / "drawn").read_text(encoding="utf-8").startswith("<svg")
    assert (tmp_path / "page").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_holds_everything(cnnc: Cnnc) -> None:
    found = json_of(cnnc("unfold", "1 0.5 a", "--kernel", "2 1/3", "--bias", "1", "--at", "0", "--json"))
    assert found == {
        "op": "conv 1 k=2",
        "input": [[1, 0.5, "a"]],
        "weight": [[[2, "1/3"]]],
        "bias": [1],
        "output": [["19/6", "2 + 1/3·a"]],
        "sums": [
            {
                "index": [0, 0],
                "kind": "sum",
                "terms": [
                    {"element": [0, 0], "input": 1, "weight": [0, 0, 0], "factor": 2, "product": 2},
                    {"element": [0, 1], "input": 0.5, "weight": [0, 0, 1], "factor": "1/3", "product": "1/6"},
                ],
                "bias": 1,
                "formula": "1·2 + 0.5·(1/3) + 1",
                "value": "19/6",
            }
        ],
    }


# --- bad input -------------------------------------------------------------------------------------------------------

BAD = {
    "ragged": (["1 2 3; 4 5; 6 7 8", "--kernel", "1"], "the input: row 2 has 2 entries, the others 3"),
    "ragged-two": (["1 2; 3", "--kernel", "1"], "the input: row 2 has 1 entry, row 1 2"),
    "ragged-all": (["1; 2 3; 4 5 6", "--kernel", "1"], "the input: the rows have 1, 2, 3 entries"),
    "channels": (["1 2 | 3", "--kernel", "1 | 1"], "the input: channel 2 is 1x1, channel 1 is 1x2"),
    "empty": (["", "--kernel", "1"], "the input is empty"),
    "empty-kernel": (["1", "--kernel", " ; "], "the kernel is empty"),
    "entry": (["1 2; 3 x?", "--kernel", "1"], "the input: `x?` is neither a number nor a letter"),
    "not-finite": (["1 nan", "--kernel", "1"], "the input: `nan` is neither a number nor a letter"),
    "exponent": (["1 2e999", "--kernel", "1"], "the input: `2e999` is neither a number nor a letter"),
    "kernel-name": ([X, "--kernel", "sobelx"], "no kernel is named `sobelx`"),
    "kernel-and-layer": (
        [X, "--kernel", "gaussian k=3; conv 3 k=3"],
        "the kernel: `gaussian k=3; conv 3 k=3` is more than",
    ),
    "padding-list": (
        ["1 2", "--kernel", "1 1", "-p", "[1,2,3]"],
        "-p takes one number, or a list of 2: all beginnings, then all ends, not `[1,2,3]`",
    ),
    "at-negative": ([X, "--kernel", K, "--at", "-1,0"], "--at -1,0 is not one of the outputs"),
    "at-nothing": ([X, "--kernel", K, "--at", ""], "--at (nothing) is not one of the outputs"),
    "division": (["1/0", "--kernel", "1"], "the input: `1/0` is neither a number nor a letter"),
    "brackets": (["[[1, 2], [3", "--kernel", "1"], "the input: the brackets do not match"),
    "large-kernel": (["1 2; 3 4", "--kernel", "1 2 3"], "the 1x3 kernel does not fit into the 2x2 input"),
    "outside": ([X, "--kernel", K, "--at", "2,0"], "--at 2,0 is not one of the outputs: indices are 0 to 1 and 0 to 1"),
    "at-words": (
        [X, "--kernel", K, "--at", "left"],
        "--at left is not one of the outputs: indices are 0 to 1 and 0 to 1",
    ),
    "at-one": ([X, "--kernel", K, "--at", "1"], "--at 1 is not one of the outputs: indices are 0 to 1 and 0 to 1"),
    "at-sequence": (["1 2 3", "--kernel", "1 1", "--at", "2"], "--at 2 is not one of the outputs: indices are 0 to 1"),
    "weight-outside": (
        [X, "--kernel", K, "--backward", "--weight-at", "0,2"],
        "--weight-at 0,2 is not one of the weights",
    ),
    "output-of-a-gradient": ([X, "--kernel", K, "--backward", "--at", "2,2"], "--at 2,2 is not one of the outputs"),
    "input-outside": (
        [X, "--kernel", K, "--backward", "--input-at", "3,0"],
        "--input-at 3,0 is not one of the input elements: indices are 0 to 2 and 0 to 2",
    ),
    "input-at-alone": ([X, "--kernel", K, "--input-at", "0,0"], "--input-at belongs to --backward"),
    "only-padding": (
        ["1 2", "--kernel", "1", "-p", "1", "--backward", "--at", "0"],
        "--at 0: this output reads padding alone",
    ),
    "stride": ([X, "--kernel", K, "-s", "0"], "-s takes whole numbers of at least 1, not `0`"),
    "stride-text": ([X, "--kernel", K, "-s", "two"], "-s takes whole numbers of at least 1, not `two`"),
    "stride-axes": (
        [X, "--kernel", K, "-s", "1x1x1"],
        "-s takes one number for each of the 2 spatial axes, or one for all, not `1x1x1`",
    ),
    "dilation": ([X, "--kernel", K, "-d", "1.5"], "-d takes whole numbers of at least 1, not `1.5`"),
    "padding": (
        [X, "--kernel", K, "-p", "smae"],
        "-p takes whole numbers of at least 0, or valid, half, same, same_lower, full or causal, not `smae`",
    ),
    "causal": (
        [X, "--kernel", K, "-p", "causal"],
        "-p takes causal only on sequences (one spatial axis), not `causal`",
    ),
    "nothing": ([X], "unfold needs a kernel, or a kind of pooling"),
    "no-size": ([X, "--pool", "max"], "--pool needs -k, the size of its windows"),
    "both": ([X, "--pool", "max", "-k", "2", "--kernel", K], "--kernel does not go with --pool"),
    "pool-large": (["1 2; 3 4", "--pool", "max", "-k", "3"], "the 3x3 kernel does not fit into the 2x2 input"),
    "pool-letters": (["a b", "--pool", "l2", "-k", "2"], "--pool l2 needs numbers, and the input has letters"),
    "pool-toeplitz": (
        [X, "--pool", "max", "-k", "2", "--toeplitz"],
        "--toeplitz shows a linear layer, and --pool max is not linear",
    ),
    "norm": ([X, "--pool", "avg", "-k", "2", "--norm", "3"], "`pool avg` has no norm"),
    "two-views": ([X, "--kernel", K, "--im2col", "--toeplitz"], "--im2col and --toeplitz are two views"),
    "flip-transposed": ([X, "--kernel", K, "--flip", "--transposed"], "--flip does not go with --transposed"),
    "kernel-channels": ([X, "--kernel", "1 | 2"], "the kernel has 2 channels, and the input has 1"),
    "kernel-sizes": ([X, "--kernel", "1", "--kernel", K], "kernel 2 is 2x2, and kernel 1 is 1x1"),
    "bias": ([X, "--kernel", K, "--bias", "1 2"], "--bias has 2 numbers, and there is 1 output channel"),
    "gradient": ([X, "--kernel", K, "--backward", "--gradient", "1 2 3"], "--gradient is 1x3, and the output is 2x2"),
    "gradient-alone": ([X, "--kernel", K, "--gradient", "1 1; 1 1"], "--gradient belongs to --backward"),
    "huge": (["; ".join(["1 " * 70] * 70), "--kernel", "1"], "the input has 4,900 entries; at most 4,096 are shown"),
    "huge-padding": (
        [X, "--kernel", K, "-p", "2000"],
        "the sums would have 64,064,016 products; at most 300,000 are computed",
    ),
    "huge-toeplitz": (
        ["; ".join(["1 " * 60] * 60), "--kernel", K, "--toeplitz"],
        "the matrix would have 3,481 rows and 3,600 columns",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(cnnc: Cnnc, name: str) -> None:
    words, message = BAD[name]
    done = cnnc("unfold", *words)
    assert (done.returncode, done.stdout) == (2, "")
    first, help, *others = done.stderr.splitlines()
    assert first.startswith(f"error[E010]: {message}")
    assert help.startswith("  = help: ")
    assert others == []


@pytest.mark.parametrize(
    ("words", "fixed"),
    [
        (["1 2; 3 4", "--kernel", "1 2 3"], ["-p", "1"]),
        ([X, "--kernel", K, "--at", "2,0"], ["--at", "1,1"]),
        ([X, "--kernel", K, "-p", "smae"], ["-p", "same"]),
        ([X, "--kernel", "sobelx", "-p", "1"], ["--kernel", "sobel_x"]),
        ([X, "--kernel", K, "-p", "causal"], ["-p", "same"]),
        ([X, "--kernel", K, "-s", "0"], ["-s", "2"]),
        ([X, "--pool", "max"], ["-k", "2"]),
        (["1 2; 3 4", "--pool", "max", "-k", "3"], ["-k", "2"]),
        ([X, "--kernel", K, "--gradient", "1 1; 1 1"], ["--backward"]),
    ],
)
def test_the_help_works(cnnc: Cnnc, words: list[str], fixed: list[str]) -> None:
    done = cnnc("unfold", *words)
    assert f"`{' '.join(fixed)}`" in done.stderr
    replaced = words[: words.index(fixed[0])] + words[words.index(fixed[0]) + 2 :] if fixed[0] in words else words
    assert cnnc("unfold", *replaced, *fixed).returncode == 0
