"""Networks in the formats that cnnc recognizes: the file name, the format's name in the error, the source, its translation."""

from __future__ import annotations

from typing import NamedTuple


class Foreign(NamedTuple):
    """A source in another format; `statements` is the translation that the help shows, "" where there is none."""

    name: str
    format: str
    text: str
    statements: str


PYTORCH_MODULE = '''
import torch
import torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    """A network, as in the tutorial."""
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=(3, 5), stride=2, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))  # 28 to 14
        x = F.leaky_relu(self.bn(self.conv2(x)), 0.2)
        x = F.max_pool2d(x, 3, stride=1, padding=1)
        x = x.view(-1, 16 * 5 * 5)
        return self.fc1(x)
'''

PYTORCH_SEQUENTIAL = """
model = nn.Sequential(
    nn.Linear(784, 128),
    nn.ReLU(inplace=True),
    nn.Dropout(p=0.25),
    nn.Linear(128, 10, bias=False),
    nn.Softmax(dim=1),
)
"""

PYTORCH_LINES = """
nn.Conv2d(3, 64, 3, padding=1, groups=1),
nn.BatchNorm2d(64),
nn.ReLU6(),
nn.AvgPool2d(2),
nn.AdaptiveAvgPool2d((1, 1)),
nn.Flatten(),
nn.Linear(64, 10),
"""

PYTORCH_SUM = """
from torch import nn
class Block(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Conv1d(4, 8, 3, dilation=2), nn.GELU())
        self.other = nn.Conv1d(8, 8, 1)
    def forward(self, x):
        x = self.body(x)
        return x + self.other(x)
"""

KERAS = """
from tensorflow import keras
from tensorflow.keras import layers

num_classes = 10
model = keras.Sequential([
    keras.Input(shape=(28, 28, 1)),
    layers.Conv2D(32, kernel_size=(3, 3), activation="relu", padding="same"),
    layers.BatchNormalization(),
    layers.MaxPooling2D(pool_size=(2, 2)),
    layers.Conv2D(64, 3, strides=2, use_bias=False),
    layers.Flatten(),
    layers.Dropout(0.3),
    layers.Dense(num_classes, activation="softmax"),
])
model.compile(loss="categorical_crossentropy", optimizer="adam")
"""

KERAS_ADD = """
model = Sequential()
model.add(Conv2D(16, (3, 3), input_shape=(64, 48, 3)))
model.add(LeakyReLU(alpha=0.1))
model.add(ZeroPadding2D(((1, 2), (3, 4))))
model.add(GlobalAveragePooling2D())
model.add(Dense(5))
"""

KERAS_FUNCTIONAL = """
import tensorflow as tf
inputs = tf.keras.Input(shape=(32, 32, 3))
x = tf.keras.layers.Conv2D(8, 3, activation=tf.nn.relu)(inputs)
x = tf.keras.layers.MaxPool2D()(x)
y = tf.keras.layers.Conv2D(8, 1)(inputs)
"""

TFLEARN = """
import tflearn
network = input_data(shape=[None, 227, 227, 3])
network = conv_2d(network, 96, 11, strides=4, activation='relu')
network = max_pool_2d(network, 3, strides=2)
network = fully_connected(network, 4096, activation='tanh')
network = dropout(network, 0.8)
"""

KERAS_JSON = """
{"class_name": "Sequential", "config": {"name": "s", "layers": [
 {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [null, 28, 28, 1], "dtype": "float32"}},
 {"module": "keras.layers", "class_name": "Conv2D", "config": {"filters": 8, "kernel_size": [3, 3], "strides": [1, 1],
  "padding": "valid", "activation": "relu", "use_bias": true, "groups": 1, "dilation_rate": [1, 1], "data_format": "channels_last"}},
 {"module": "keras.layers", "class_name": "Flatten", "config": {}},
 {"module": "keras.layers", "class_name": "Dense", "config": {"units": 10, "activation": "linear"}}]}}
"""

DARKNET = """
[net]
# Training
batch=64
width=416
height=416
channels=3
momentum=0.9

[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[maxpool]
size=3
stride=2

[convolutional]
size=1
stride=1
pad=1
filters=255
activation=linear

[route]
layers=-4
"""

CAFFE = """
name: "CaffeNet"
input: "data"
input_dim: 10
input_dim: 3
input_dim: 227
input_dim: 227
layer {
  name: "conv1"
  type: "Convolution"
  bottom: "data"
  top: "conv1"
  param { lr_mult: 1 }
  convolution_param {
    num_output: 96
    kernel_size: 11
    stride: 4
    group: 1
    weight_filler { type: "gaussian" std: 0.01 }
  }
}
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer {
  name: "pool1"
  type: "Pooling"
  bottom: "conv1"
  top: "pool1"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 }
}
layer {
  name: "fc6"
  type: "InnerProduct"
  bottom: "pool1"
  top: "fc6"
  inner_product_param { num_output: 100 }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc6" bottom: "label" top: "loss" }
"""

MATLAB = """
layers = [
    imageInputLayer([28 28 1])          % gray images
    convolution2dLayer(3,8,'Padding','same')
    batchNormalizationLayer
    reluLayer
    maxPooling2dLayer(2,'Stride',2)
    dropoutLayer(0.2)
    fullyConnectedLayer(10)
    softmaxLayer
    classificationLayer];
"""

CONVNETJS = """
layer_defs = [];
layer_defs.push({type:'input', out_sx:32, out_sy:32, out_depth:3});
layer_defs.push({type:'conv', sx:5, filters:16, stride:1, pad:2, activation:'relu'});
layer_defs.push({type:'pool', sx:2, stride:2});
layer_defs.push({type:'softmax', num_classes:10});
"""

YOLO = """
# YOLOv5
nc: 80
depth_multiple: 0.33
width_multiple: 0.50
backbone:
  # [from, number, module, args]
  [[-1, 1, Conv, [64, 6, 2, 2]],
   [-1, 1, Conv, [128, 3, 2]],
   [-1, 3, C3, [128]],
  ]
"""

YAML = """
name: small
layers:
  - type: conv2d
    filters: 32
    kernel_size: 3
    padding: same
    activation: relu
  - type: maxpool
    size: 2
  - flatten
  - dense: 10
  - softmax
"""

FOREIGN = [
    Foreign(
        "net.py",
        "PyTorch",
        PYTORCH_MODULE,
        "input 1xHxW; conv 6 k=5 p=2; relu; pool max k=2; conv 16 k=3x5 s=2 bias=false; bn; leaky_relu 0.2;"
        " pool max k=3 s=1 p=1; flatten",
    ),
    Foreign("s.py", "PyTorch", PYTORCH_SEQUENTIAL, "input 784; fc 128; relu; dropout 0.25; fc 10 bias=false; softmax"),
    Foreign(
        "a.cnn",
        "PyTorch",
        PYTORCH_LINES,
        "input 3xHxW; conv 64 k=3 p=1; bn; relu6; pool avg k=2; global_pool avg; flatten; fc 10",
    ),
    Foreign("block.py", "PyTorch", PYTORCH_SUM, "input 4xT; conv 8 k=3 d=2; gelu"),
    Foreign("one.cnn", "PyTorch", "nn.Conv2d(16, 33, (3, 5), stride=(2, 1))", "input 16xHxW; conv 33 k=3x5 s=2x1"),
    Foreign(
        "k.py",
        "Keras",
        KERAS,
        "input 1x28x28; conv 32 k=3 p=same; relu; bn; pool max k=2; conv 64 k=3 s=2 bias=false; flatten; dropout 0.3; fc 10;"
        " softmax",
    ),
    Foreign(
        "add.cnn",
        "Keras",
        KERAS_ADD,
        "input 3x64x48; conv 16 k=3; leaky_relu 0.1; pad [1, 3, 2, 4]; global_pool avg; flatten; fc 5",
    ),
    Foreign("f.py", "Keras", KERAS_FUNCTIONAL, "input 3x32x32; conv 8 k=3; relu; pool max k=2"),
    Foreign(
        "t.py",
        "Keras",
        TFLEARN,
        "input 3x227x227; conv 96 k=11 s=4 p=same; relu; pool max k=3 s=2 p=same; fc 4096; tanh; dropout 0.2",
    ),
    Foreign(
        "local.py",
        "Keras",
        'model.add(LocallyConnected2D(16, (3, 5), strides=2, activation="relu", input_shape=(32, 24, 3)))',
        "input 3x32x24; local 16 k=3x5 s=2; relu",
    ),
    Foreign(
        "local.cfg",
        "Darknet",
        "[net]\nheight=28\nwidth=28\nchannels=1\n[local]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n",
        "input 1x28x28; local 8 k=3 p=1; leaky_relu 0.1",
    ),
    Foreign("model.json", "JSON of a Keras model", KERAS_JSON, "input 1x28x28; conv 8 k=3; relu; flatten; fc 10"),
    Foreign(
        "net.cfg",
        "Darknet",
        DARKNET,
        "input 3x416x416; conv 16 k=3 p=1 bias=false; bn; leaky_relu 0.1; pool max k=2 p=same; pool max k=3 s=2 p=1;"
        " conv 255 k=1",
    ),
    Foreign(
        "net.prototxt",
        "Caffe",
        CAFFE,
        "input 3x227x227; conv 96 k=11 s=4; relu; pool max k=3 s=2 ceil=true; fc 100",
    ),
    Foreign(
        "net.m",
        "MATLAB",
        MATLAB,
        "input 1x28x28; conv 8 k=3 p=same; bn; relu; pool max k=2; dropout 0.2; fc 10; softmax",
    ),
    Foreign("net.js", "ConvNetJS", CONVNETJS, "input 3x32x32; conv 16 k=5 p=2; relu; pool max k=2; fc 10; softmax"),
    Foreign(
        "model.yaml",
        "YAML",
        YOLO,
        "input 3xHxW; conv 32 k=6 s=2 p=2 bias=false; bn; silu; conv 64 k=3 s=2 p=1 bias=false; bn; silu",
    ),
    Foreign("list.yml", "YAML", YAML, "input 1x28x28; conv 32 k=3 p=same; relu; pool max k=2; flatten; fc 10; softmax"),
    Foreign("net.json", "JSON", '{\n "name": "net",\n "layers": [\n  {"type": "conv", "filters": 8}\n ]\n}\n', ""),
    Foreign("net.xml", "XML", '<?xml version="1.0"?>\n<net>\n <layer type="conv" out="8"/>\n</net>\n', ""),
    Foreign("raw.py", "Keras", "import tensorflow as tf\nw = tf.Variable(tf.zeros([5]))\ny = tf.nn.conv2d(x, w)\n", ""),
]
