"""The spectrogram of a waveform, with fixed weights: `spectrogram`.

In: the type of a waveform, C x T. Out: C x bins x frames, the lowest frequency first; there are no parameters. Example:
`spectrogram window=400 hop=160 mels=40` turns a second at 16 kHz, 1x16000, into 1x40x98. The mel scales are here too, as
plain numbers: `Spectrogram.mel_weights`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import ClassVar, NamedTuple

from cnnc.core.arguments import Axes, Choice, Flag, Padding, Pads, PerAxis, Real, Whole, arg
from cnnc.core.tensor import TensorType
from cnnc.ops import window
from cnnc.ops.base import BEFORE, Advice, Fix, Op, ShapeError, Window, product_text, register

RATE, MAX_RATE = 16_000, 1_000_000  # Hz, when left out, and the highest
EPS = 1e-6
MAX_TRANSFORM = 4096  # samples; the weights of a longer transform take more than 67 MB
_OF_MELS = ("rate", "low", "high", "scale")  # arguments that need mels


class MelScale(NamedTuple):
    """A mel scale: from Hz to mel and back, and whether each band is divided by half its width in Hz."""

    mel: Callable[[float], float]
    hz: Callable[[float], float]
    has_unit_area: bool


_KNEE_MEL = 15.0  # 1,000 Hz: linear below, logarithmic above
_LOG_STEP = math.log(6.4) / 27


def _slaney_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else _KNEE_MEL + math.log(hz / 1000) / _LOG_STEP


def _slaney_hz(mel: float) -> float:
    return mel * 200 / 3 if mel < _KNEE_MEL else 1000 * math.exp(_LOG_STEP * (mel - _KNEE_MEL))


SCALES = {
    "htk": MelScale(lambda hz: 2595 * math.log10(1 + hz / 700), lambda mel: 700 * (10 ** (mel / 2595) - 1), False),
    "slaney": MelScale(_slaney_mel, _slaney_hz, True),
}


@register
class Spectrogram(Op):
    """The power of each frequency over time, with fixed weights: C x T samples become C x bins x frames.

    It is a short-time Fourier transform; the lowest frequency comes first. Frame m holds the samples from m·s on, times a Hann window. For its samples x[n], n = 0 .. k - 1, and bin b,

        w[n]     = 0.5 - 0.5·cos(2·pi·n/k)                     scipy.signal.get_window("hann", k)
        power[b] = |Σ w[n]·x[n]·exp(-2·pi·i·b·n/fft)|²         torch.stft(..., center=False).abs() ** 2

    Bin b is the frequency b·rate/fft, from 0 to rate/2. With mels=40 the bins are summed to 40 bands: triangles at equal
    distances on the mel scale.

        htk     mel = 2595·log10(1 + f/700), triangles with the height 1 (Young et al., the book of the toolkit; the
                default of torchaudio.transforms.MelSpectrogram)
        slaney  mel = 3·f/200 below 1000 and 15 + 27·ln(f/1000)/ln(6.4) above, triangles with the area 1 (Slaney's
                auditory toolbox; the default of librosa.feature.melspectrogram)

    The output is ln(power + eps), or with log=false the power. Of silence it is ln(eps). A smaller eps would show the
    rounding errors of float32, up to about 1e-5/sqrt(eps) beside a loud tone; a larger one would hide soft sounds. With
    samples from -1 to 1 and k=400, a tone of full scale has a power of 10,000, and the rounding to 16 bits one of 1e-8.
    """

    keyword: ClassVar[str] = "spectrogram"
    example: ClassVar[str] = "spectrogram window=400 hop=160 mels=40"

    k: Axes = arg(PerAxis(2), long="window", unit="samples", help="window size")
    s: Axes = arg(PerAxis(1), long="hop", unit="samples", help="step between windows")
    p: Pads = arg(Padding(), default=0, long="pad", unit="samples", help="zero padding around the input")
    fft: int | None = arg(
        Whole(2),
        default=None,
        unit="samples",
        help="length of the transform, to which zeros fill the window; that of the window when left out",
    )
    mels: int | None = arg(
        Whole(1, 1024), default=None, help="number of mel bands; without it, the bins of the transform"
    )
    rate: float | None = arg(
        Real(0, MAX_RATE, open_below=True), default=None, unit="Hz", help="sample rate (mels); 16000 when left out"
    )
    low: float | None = arg(
        Real(0), default=None, unit="Hz", help="where the lowest band begins (mels); 0 when left out"
    )
    high: float | None = arg(
        Real(0, open_below=True),
        default=None,
        unit="Hz",
        help="where the highest band ends (mels); rate/2 when left out",
    )
    scale: str | None = arg(Choice(tuple(SCALES)), default=None, help="the mel scale (mels); htk when left out")
    log: bool = arg(Flag(), default=True, help="the natural logarithm of the power plus eps, instead of the power")
    eps: float = arg(Real(0, open_below=True), default=EPS, help="added to the power before its logarithm")

    @property
    def transform(self) -> int:
        """The length of the transform in samples."""
        return self.k[0] if self.fft is None else self.fft

    @property
    def sample_rate(self) -> float:
        """The sample rate in Hz."""
        return RATE if self.rate is None else self.rate

    @property
    def band_edges(self) -> tuple[float, float]:
        """Where the lowest mel band begins and the highest ends, in Hz."""
        return self.low or 0.0, self.sample_rate / 2 if self.high is None else self.high

    @property
    def bins(self) -> range:
        """The bins of the transform that are computed: all, or those that a mel band reads."""
        if self.mels is None:
            return range(self.transform // 2 + 1)
        used = [b for band in self.mel_weights() for b in band]
        return range(min(used), max(used) + 1) if used else range(0)

    @property
    def height(self) -> int:
        """The number of bins or mel bands of the output."""
        return len(self.bins) if self.mels is None else self.mels

    def mel_weights(self) -> tuple[dict[int, float], ...]:
        """For each mel band the bins that it reads, with their weights; none without mels."""
        if self.mels is None:
            return ()
        return _mel_weights(self.mels, self.transform, self.sample_rate, *self.band_edges, self.scale or "htk")

    def rules(self, x: TensorType) -> tuple[window.AxisRule, ...]:
        """The window rule on the axis of time."""
        return window.axis_rules(x, self.k, self.s, self.p, (1,))

    def output(self, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        _require_waveform(x)
        self._require_mels()
        self._require_transform()
        (frames,) = window.output_sizes(self.rules(x))
        return x.with_shape(x.channels, self.height, frames)

    def _require_mels(self) -> None:
        """Raises ShapeError E311 if an argument of the mel bands is given without them."""
        for key in _OF_MELS:
            if self.mels is None and getattr(self, key) is not None:
                raise ShapeError(
                    "E311",
                    f"a spectrogram without mel bands has no {key}",
                    argument=key,
                    fixes=(Fix(key, "", f"leave {key} out"), Fix("mels", "40", "add `{}`")),
                )

    def _require_transform(self) -> None:
        """Raises ShapeError E329 for a transform that is too long or too short, and for bands outside its frequencies."""
        (k,), length = self.k, self.transform
        if length > MAX_TRANSFORM:
            raise ShapeError(
                "E329",
                f"a transform of {length:,} samples: at most {MAX_TRANSFORM:,}",
                argument="k" if self.fft is None else "fft",
                fixes=(Fix("k" if self.fft is None else "fft", str(MAX_TRANSFORM), "{} is the longest"),),
            )
        if length < k:
            fix = Fix("fft", "", "leave fft out, which transforms the window as it is")
            message = f"the transform of {length:,} samples is shorter than the window of {k:,}"
            raise ShapeError("E329", message, argument="fft", fixes=(fix,))
        if self.mels is None:
            return
        low, high = self.band_edges
        if high > self.sample_rate / 2:
            message = f"the highest frequency at {self.sample_rate:g} Hz is {self.sample_rate / 2:g} Hz, half the rate"
            fix = Fix("high", f"{self.sample_rate / 2:.17g}")
            raise ShapeError("E329", message, argument="high", fixes=(fix,))
        if low >= high:
            message = f"the bands begin at {low:g} Hz and end at {high:g} Hz"
            fixes = (Fix("low", "", "leave low out"),) if self.low is not None else (Fix("high", "", "leave high out"),)
            raise ShapeError("E329", message, argument="low" if self.low is not None else "high", fixes=fixes)
        if not self.bins:
            step = self.sample_rate / length
            message = f"no frequency of the transform lies between {low:g} and {high:g} Hz: they are {step:g} Hz apart"
            help = "set low and high further apart, or take a longer window"
            raise ShapeError("E329", message, argument="mels", help=help)

    def macs(self, *inputs: TensorType) -> int:
        (x,) = inputs
        bins = len(self.bins)
        return self.output(x).spatial[1] * x.channels * bins * (2 * self.k[0] + (self.mels or 0))

    def windows(self, *inputs: TensorType) -> tuple[Window, ...]:
        """One window: an output reads samples of the axis of time; the axis of frequency is new."""
        return window.windows(self.rules(inputs[0]))

    def explain(self, *inputs: TensorType) -> list[str]:
        (x,) = inputs
        (rule,), bins, k = self.rules(x), len(self.bins), self.k[0]
        lines = [f"frames = {rule.formula()}"]
        if self.mels is None:
            lines.append(f"bins = {self.transform}//2 + 1 = {bins}")
        else:
            low, high = self.band_edges
            step = self.sample_rate / self.transform
            lines.append(f"bands = {self.mels}, from {low:g} to {high:g} Hz, of {bins} bins that are {step:g} Hz apart")
        factors = product_text(tuple(n for n in (x.channels, rule.out, bins) if n != 1))
        of_bands = f" + {self.mels}" if self.mels is not None else ""
        return [*lines, f"MACs = {factors}·(2·{k}{of_bands}) = {self.macs(x):,}"]

    def advice(self, *inputs: TensorType) -> list[Advice]:
        advice = [a for a in window.padding_advice(self.rules(inputs[0]), self.p) if a.code == "W303"]
        weights = self.mel_weights()
        empty = sum(not band for band in weights)
        if empty:
            count = "1 mel band reads" if empty == 1 else f"{empty} mel bands read"
            never = "it never changes" if empty == 1 else "they never change"
            advice.append(
                Advice(
                    "W306",
                    f"{count} no frequency of the transform, so {never}: the bands are too narrow",
                    argument="mels",
                    fixes=(Fix("mels", str(self._most_bands()), "{} is the largest number without empty bands"),),
                )
            )
        return advice

    def _most_bands(self) -> int:
        """The largest number of mel bands, not above the given one, of which none is empty."""
        counts = range(self.mels or 1, 0, -1)
        return next((n for n in counts if all(self.replace(mels=n).mel_weights())), 1)

    def brief(self) -> str:
        parts = [window.brief(self.k, self.s, self.p, (1,) * len(self.k))]
        parts += [f"{key}={getattr(self, key)}" for key in ("fft", "mels") if getattr(self, key) is not None]
        parts += [f"{key}={getattr(self, key):g}" for key in ("rate", "low", "high") if getattr(self, key) is not None]
        parts += [f"scale={self.scale}"] if self.scale is not None else []
        parts += [] if self.log else ["log=false"]
        return " ".join(parts + ([f"eps={self.eps:g}"] if self.eps != EPS else []))


def _require_waveform(x: TensorType) -> None:
    """Raises ShapeError E303 where the input is not channels of samples."""
    if x.rank == 1:
        return
    fixes = (Fix(BEFORE, f"reshape 1x{x.size}", "make it one channel of samples: add `{}` before it"),)
    raise ShapeError(
        "E303",
        f"spectrogram takes a waveform, channels x samples such as 1x16000; its input is {x}",
        fixes=fixes,
        label=f"{x} arrives here",
    )


@cache
def _mel_weights(
    mels: int, transform: int, rate: float, low: float, high: float, scale: str
) -> tuple[dict[int, float], ...]:
    mel, hz, has_unit_area = SCALES[scale]
    first, step = mel(low), (mel(high) - mel(low)) / (mels + 1)
    edges = [hz(first + i * step) for i in range(mels + 2)]
    bands = []
    for left, centre, right in zip(edges, edges[1:], edges[2:], strict=False):
        height = 2 / (right - left) if has_unit_area else 1.0
        begin = max(0, math.floor(left * transform / rate))
        end = min(transform // 2, math.ceil(right * transform / rate))
        band = {}
        for b in range(begin, end + 1):
            f = b * rate / transform
            weight = min((f - left) / (centre - left), (right - f) / (right - centre)) * height
            if weight > 1e-12 * height:  # a bin at an edge, where only rounding is left
                band[b] = weight
        bands.append(band)
    return tuple(bands)
