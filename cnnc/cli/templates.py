"""The networks that `cnnc new` writes.

In: the name of a template and the name of the network. Out: the source of a network that `cnnc check` accepts without
warnings. Templates are short, as users edit them right away.
"""

from __future__ import annotations

import json
import re

_LENET = """\
# A small convolutional network: two stages of conv, relu and pool, then two fully connected layers.
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
# A small residual network (He et al. 2016): three stages; the second and third start with a projection shortcut.
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
# A small U-Net (Ronneberger, Fischer & Brox 2015) for sizes divisible by 4: predicts a class for each pixel.
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

_TEXTCNN = """\
# A text classifier (Kim 2014): word embeddings, convolutions of three widths, max pooling over the sentence.
net NAME

let words = 20000
let length = 60

input length dtype=int64
embed 128 vocab=words
concat {
  conv 100 k=3; relu; global_pool max
} {
  conv 100 k=4; relu; global_pool max
} {
  conv 100 k=5; relu; global_pool max
}
dropout 0.5
fc 2
softmax
"""

TEMPLATES = {"lenet": _LENET, "resnet": _RESNET, "unet": _UNET, "textcnn": _TEXTCNN}


def fill(template: str, name: str) -> str:
    """The source of a template with the name of the network filled in, quoted if it is not an identifier."""
    written = name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else json.dumps(name)
    return TEMPLATES[template].replace("NAME", written, 1)
