"""A page on the gradient of one weight and of one input element of a layer, as sums over the layer's outputs.

In: a `LayerRun`, what is differentiated in words, and the two `GradientSum`s. Out: a `Page` with one step for each.
"""

from __future__ import annotations

from collections.abc import Sequence

from cnnc.core.arguments import Axes
from cnnc.core.arrays import Array
from cnnc.view.page import Band, Formulas, Page, Panel, Picture, Step
from cnnc.view.unfold.formulas import (
    engine_line,
    equation,
    label_of,
    number,
    summed,
)
from cnnc.view.unfold.layer_gradient import GradientSum
from cnnc.view.unfold.layer_page import layer_band
from cnnc.view.unfold.layer_run import LayerRun, WeightedElement
from cnnc.view.unfold.planes import planes_of
from cnnc.view.unfold.sum_panels import PlaneSum, grey, is_plane, outline, product_band


def gradient_page(
    run: LayerRun,
    upstream: Array,
    gradients: Sequence[GradientSum],
    scalar: str,
    heading: Sequence[str] = (),
    pictures: bool = False,
) -> Page:
    """The page on some gradients, one step for each; all of them are shown in a terminal."""
    names = [_name(run, gradient) for gradient in gradients]
    bands, steps, notes = [layer_band(run, [*heading, f"L = {scalar}"])], [], dict[str, None]()
    for place, (gradient, name) in enumerate(zip(gradients, names, strict=True)):
        shown = _Gradient(run, upstream, gradient, name, place, pictures)
        bands += shown.bands
        steps.append(Step(name, tuple(shown.lines)))
        notes |= dict.fromkeys(shown.notes)
    return Page(
        f"{run.node.name}: {' and '.join(names)}", f"{names[0]} as a sum", tuple(bands), tuple(steps), 0, tuple(notes)
    )


def _name(run: LayerRun, gradient: GradientSum) -> str:
    of = f"{run.node.parameter_owner}.weight" if gradient.of == "weight" else run.node.inputs[0]
    return f"dL/d{label_of(of, gradient.at)}"


class _Gradient:
    """One gradient: its bands, lines and notes."""

    def __init__(
        self, run: LayerRun, upstream: Array, gradient: GradientSum, name: str, place: int, pictures: bool
    ) -> None:
        self.run, self.gradient, self.name = run, gradient, name
        of_weight = gradient.of == "weight"
        terms = [
            WeightedElement(t.output, t.element if of_weight else t.weight, t.gradient, t.factor)
            for t in gradient.terms
        ]
        planes = planes_of([t.output for t in gradient.terms], terms)
        self.laid_out = PlaneSum.of(planes)
        self.notes = self.laid_out.notes
        self.factor = run.node.inputs[0] if of_weight else "weight" if run.weights else "factor"
        titles = (f"dL/d{run.node.name}", self.factor)
        grids = [product_band(10 * (place + 1) + slot, plane, titles) for slot, plane in enumerate(self.laid_out.shown)]
        head = Formulas(f"head{place}", "", tuple([self._rule(), *self._lines()] if place else [self._rule()]))
        images = [Band((self._picture(upstream, place),))] if pictures and self._is_picture() else []
        self.bands = [Band((head,)), *images, *grids, Band((Formulas(f"sum{place}", "", tuple(self.laid_out.lines)),))]
        self.lines = self._lines()

    def _is_picture(self) -> bool:
        return bool(self.gradient.terms) and is_plane(self.gradient.terms[0].output)

    def _rule(self) -> str:
        count, of_weight = len(self.gradient.terms), self.gradient.of == "weight"
        verb = "use" if of_weight else "read"
        outputs = f"1 output that {verb}s" if count == 1 else f"{count:,} outputs that {verb}"
        over = f"over {outputs} the {'weight' if of_weight else 'element'}"
        return f"{self.name} = Σ dL/d{self.run.node.name}·{self.factor} {over}"

    def _lines(self) -> list[str]:
        gradient = self.gradient
        engine = engine_line(gradient.engine, gradient.difference, gradient.rounding)
        return [*equation(self.name, summed(self.laid_out.parts), number(gradient.total)), engine]

    def _picture(self, upstream: Array, place: int) -> Panel:
        outputs: list[Axes] = [term.output for term in self.gradient.terms]
        channel = self.laid_out.shown[0].key[0]
        rows, columns = ([output[axis] for output in outputs] for axis in (1, 2))
        title = f"dL/d{self.run.node.name}, channel {channel}"
        return Picture(f"g{place}", title, grey(upstream[channel]), (outline(rows, columns),))
