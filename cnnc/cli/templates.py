"""The networks that `cnnc new` writes: a few short templates, and the published networks of models/.

In: the name of a network, and the name that the user gives it. Out: its source, which `cnnc check` accepts without
warnings, and what its first comment says about it. Templates are short, as users edit them right away.

    # A small U-Net for images of sizes divisible by 4: predicts a class for each pixel.      about
    # Source: after Ronneberger, Fischer & Brox (2015), "U-Net: ...".                           source
    # Data: python -m cnnc.models.scripts.segments                                              data_command
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from cnnc.models import published_networks

_LENET = """\
# A small convolutional network for MNIST: two stages of conv, relu and pool, then two fully connected layers.
net NAME

input 1x28x28

conv 16 k=5 p=2
relu
pool max k=2

conv 32 k=5
relu
pool max k=2

fc 64
relu
fc 10
softmax

train {
  data mnist
  loss cross_entropy
  optimizer sgd lr=0.05 momentum=0.9
  schedule cosine
  batch 64
  epochs 5
}
"""

_RESNET = """\
# A small residual network for images of 32x32, in three stages.
# The second and third stage start with a projection shortcut.
# Source: after He, Zhang, Ren & Sun (2016), "Deep residual learning for image recognition".
net NAME

let width = 16

block basic(w) {
  conv w k=3 p=1 bias=false; bn; relu
  conv w k=3 p=1 bias=false; bn
  add in
  relu
}

block down(w) {
  add {
    conv w k=3 s=2 p=1 bias=false; bn; relu
    conv w k=3 p=1 bias=false; bn
  } {
    conv w k=1 s=2 bias=false; bn
  }
  relu
}

input 3x32x32

conv width k=3 p=1 bias=false; bn; relu
repeat 2 { basic width }
down 2*width
basic 2*width
down 4*width
basic 4*width

global_pool avg
fc 10
softmax
"""

_UNET = """\
# A small U-Net for images of sizes divisible by 4: predicts a class for each pixel.
# Source: after Ronneberger, Fischer & Brox (2015), "U-Net: convolutional networks for biomedical image segmentation".
net NAME

let classes = 2

block double(w) {
  repeat 2 { conv w k=3 p=same bias=false; bn; relu }
}

block up(w, skip) {
  conv_transpose w k=2 s=2
  concat skip
  double w
}

input 3xHxW

e1: double 16
pool max k=2
e2: double 32
pool max k=2
double 64
up 32 e2
up 16 e1
conv classes k=1
softmax
"""

_WRITTEN_HERE = {"lenet": _LENET, "resnet": _RESNET, "small_unet": _UNET}


class Template(NamedTuple):
    """A network that `cnnc new` writes."""

    name: str
    text: str
    is_published: bool

    @property
    def about(self) -> str:
        """What it is, in one line: the first line of the comment."""
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def source(self) -> str:
        """The publication that it follows; "" if there is none."""
        return self._entry("Source")

    @property
    def data_command(self) -> str:
        """The command that makes its data; "" if none is needed."""
        return self._entry("Data")

    def _entry(self, key: str) -> str:
        comment = re.match(r"(#.*\n)+", self.text)
        lines = (comment[0] if comment else "").replace("\n# ", "\n").splitlines()
        text = "\n".join(lines).partition(f"\n{key}: ")[2]
        return re.split(r"\n(?=[A-Z][a-z]+: )", text)[0].replace("\n", " ")

    def named(self, name: str) -> str:
        """The source with another name of the network, quoted if it is not an identifier."""
        written = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else json.dumps(name, ensure_ascii=False)
        return re.sub(r"^net .*$", lambda _: f"net {written}", self.text, count=1, flags=re.MULTILINE)


def template_names() -> list[str]:
    """The names of all templates: those written here, then the published networks."""
    return [*_WRITTEN_HERE, *published_networks()]


def template_named(name: str) -> Template:
    """The template of this name. Raises KeyError."""
    if name in _WRITTEN_HERE:
        return Template(name, _WRITTEN_HERE[name], False)
    return Template(name, published_networks()[name].read_text(encoding="utf-8"), True)
