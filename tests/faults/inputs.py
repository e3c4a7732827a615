"""The inputs of the catalogue: files that are damaged, hostile, endless or not files at all, written into one folder.

`write_inputs(folder)` makes them in a few seconds; a row of tests/faults/catalogue.py names them by their file names.
Needs a system with named pipes.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import socket
import struct
import tarfile
import zipfile
import zlib
from contextlib import chdir
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import cnnc
from cnnc.training import checkpoint as checkpoints

HOSTILE = "\x1b]0;title\x07\x1b[31mred\x9b\u202eevil<script>alert(1)</script>|`"
"""A name with sequences for terminals, marks of writing direction, and markup."""

RAW = set("\x1b\x07\x9b\u202e")
"""What of it must not reach a terminal."""

NET = """net Small
input 1x8x8
conv 3 k=3
relu
fc 10
softmax
train {
  data digits
  batch 256
  epochs 1
}
"""
DATA = """input 1x8x8
fc 2
softmax
train {{
  data {}
  loss cross_entropy
  optimizer sgd lr=0.01
  batch 2
  epochs 1
}}
"""


def write_inputs(folder: Path, with_bombs: bool) -> None:
    """Writes all inputs; those that take seconds to make only `with_bombs`."""
    for write in (_sources, _includes, _special, _trained, _models, _weights, _tables, _images, _archives, _hostile):
        write(folder)
    _arrays(folder, with_bombs)


def _sources(folder: Path) -> None:
    blocks = "\n".join(f"block a{n} {{ a{n - 1}; a{n - 1} }}" for n in range(1, 40))
    added = "\n".join(f"block a{n} {{ add {{ a{n - 1} }} {{ a{n - 1} }} }}" for n in range(1, 40))
    unet = "input 3xHxW\n{}" + "pool max k=2\nupsample 2\nadd e\nconv 8 k={} p=same\n"
    texts = {
        "net": NET,
        "empty": "",
        "colon": ": 3",
        "overflow": "input 1x8x8\nconv 4*1e308\n",
        "infinite": "input 1x8x8\nconv 1e999 k=3\n",
        "huge_kernel": "input 1x8x8\nconv 4 k=99999999999999999999\n",
        "huge_input": "input 999999x99999x99999\nrelu\n",
        "too_many_weights": "input 1x99999x99999\nfc 99999\n",
        "half_names": "input 3x16x16\na: conv 2 k=1\nconcat { relu } a\n",
        "dotted": "input 1x8x8\nfc 2\nsoftmax\ntrain {\n  data digits\n  optimizer.adam lr=0.1\n}\n",
        "arabic": "input 1x٨x8\n",
        "untidy": "input   1x8x8\nrelu\n",
        "zero": "input 1x0x8\nrelu\n",
        "negative": "input 1x8x8\nconv -3 k=3\n",
        "nul": "input 1x8x8\n\0relu\n",
        "escape": f"input 1x8x8\n# {HOSTILE}\nconv 3 k=3 {HOSTILE}\n",
        "quoted": f'net "{HOSTILE}"\ninput 1x8x8\nconv k=3\n',
        "bidi": "input 1x8x8\nconv 3 k=3 # \u202e\nrelu \u2066\n",
        "braces": "{" * 3000,
        "nested": "input 3x8x8\n" + "add { " * 300 + "relu" + " } { }" * 300,
        "parentheses": "let a = " + "(" * 3000 + "1" + ")" * 3000 + "\ninput 3x8x8\nconv a k=3\n",
        "long_sum": "let a = " + "+".join(["1"] * 3000) + "\ninput 3x8x8\nconv a k=3\n",
        "long_word": "input 1x8x8\n" + "x" * 100_000 + "\n",
        "long_line": "input 1x8x8; " + "relu; " * 2000 + "conv 3\n",
        "many_errors": "input 3xHxW\n" + "conv k=3\n" * 300,
        "doubling": f"block a0 {{ relu }}\n{blocks}\ninput 3x8x8\na39\n",
        "doubling_branches": f"block a0 {{ relu }}\n{added}\ninput 3xHxW\na39\n",
        "doubling_numbers": "let a0 = 2\n" + "\n".join(f"let a{n} = a{n - 1}*a{n - 1}" for n in range(1, 60)) + "\ninput 3x8x8\nconv a59 k=3\n",
        "rounds": "input 3xHxW\nrepeat 1000000 { relu }\n",
        "rounds_in_rounds": "input 3xHxW\n" + "repeat 100 { " * 6 + "relu" + " }" * 6,
        "recursive": "block a { b }\nblock b { a }\ninput 3x8x8\na\n",
        "symbols_large_kernel": "input 3xHxW\nrepeat 5000 { relu }\nconv 4 k=5000\n",
        "symbols_one_wrong": unet.format("e: conv 4 k=3 p=same\n" * 1, 3),
        "symbols_pools": "input 3xHxW\n" + "pool max k=2\n" * 40,
        "symbols_upsample": "input 3xHxW\n" + "upsample 2\n" * 60,
        "symbols_computed": "input 3xHxW\nrepeat 9000 { relu }\ncrop H/2\nconv 4 k=5\n",
        "symbols_fc": "input 3xHxW\nfc 10\n",
        "tilde": DATA.format('npz "~nouser/x.npz"'),
        "data_unknown": DATA.format("fish"),
        "data_missing": DATA.format('npz "nowhere.npz"'),
        "data_nul": DATA.format('npz "a\0b"'),
        "utf16": "",
        "latin1": "",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.cnn").write_text(text, encoding="utf-8")
    (folder / "utf16.cnn").write_text(NET, encoding="utf-16")
    (folder / "latin1.cnn").write_bytes(b"input 1x8x8 # caf\xe9\n")
    (folder / "no_text.cnn").write_bytes(bytes(range(256)) * 4)
    (folder / "too_long.cnn").write_text("# comment\n" * 200_000)
    (folder / "zip.cnn").write_bytes(b"PK\x03\x04" + bytes(100))


def _includes(folder: Path) -> None:
    inner = folder / "includes"
    inner.mkdir()
    for n in range(300):
        (inner / f"i{n}.cnn").write_text(f'include "i{n + 1}.cnn"\nblock b{n}(w) {{ conv w k=3 }}\n')
    for n in range(20):
        (inner / f"t{n}.cnn").write_text(f'include "t{n + 1}.cnn"\n' * 2 * (n < 19) + f"block t{n} {{ relu }}\n")
    heads = {
        "chain": "includes/i0.cnn",
        "tree": "includes/t0.cnn",
        "pipe": "pipe",
        "device": "/dev/zero",
        "sparse": "sparse.cnn",
        "socket": "socket",
        "folder": "includes",
        "outside": "../outside.cnn",
        "itself": "include_itself.cnn",
        "missing": "nowhere.cnn",
        "passwords": "/etc/passwd",
        "link": "includes/link.cnn",
    }
    for name, file in heads.items():
        (folder / f"include_{name}.cnn").write_text(f'include "{file}"\ninput 3x8x8\nrelu\n')
    (inner / "link.cnn").symlink_to("/etc/passwd")


def _special(folder: Path) -> None:
    """What is not a regular file, and files of 100 GB that take no room on the disk."""
    os.mkfifo(folder / "pipe")
    for suffix in ("cnn", "onnx", "npy", "npz", "png", "csv", "tsv", "wav", "zip", "tar", "safetensors"):
        os.mkfifo(folder / f"pipe.{suffix}")
        with (folder / f"sparse.{suffix}").open("wb") as file:
            file.truncate(100 << 30)
        (folder / f"nothing.{suffix}").touch()
        (folder / f"noise.{suffix}").write_bytes(np.random.default_rng(7).bytes(3000))
    with chdir(folder), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    (folder / "a_folder").mkdir()
    (folder / "device").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    for kind in ("npz", "images", "text", "series", "shards"):
        for what in ("pipe", "device", "socket", "loop", "a_folder"):
            (folder / f"{kind}_{what}.cnn").write_text(DATA.format(f'{kind} "{what}"'))


def _trained(folder: Path) -> None:
    """A run, its model, and runs in which one file is something else."""
    network = cnnc.load(folder / "net.cnn")
    run = folder / "run"
    cnnc.train(network, run)
    cnnc.export(run, folder / "net.onnx")
    (folder / "read_only").mkdir()
    for name in ("metrics.jsonl", "test.json", "network.cnn", "last.safetensors", "best.safetensors"):
        for kind in ("pipe", "folder", "noise", "zeros", "nothing"):
            other = folder / f"run_{name.partition('.')[0]}_{kind}"
            shutil.copytree(run, other)
            (other / name).unlink()
            if kind == "pipe":
                os.mkfifo(other / name)
            elif kind == "folder":
                (other / name).mkdir()
            else:
                content = {"noise": b"[[[[\xff\xfe NaN \x1b[31m" * 50, "zeros": bytes(50_000), "nothing": b""}
                (other / name).write_bytes(content[kind])


def _weights(folder: Path) -> None:
    """Checkpoints with a right checksum and wrong content."""
    base = checkpoints.load(folder / "run" / "last.safetensors")
    facts: dict[str, Any] = json.loads(
        json.dumps({**checkpoints.facts_of(base), "progress": asdict(base.progress)}, sort_keys=True)
    )
    tensors = {f"weights/{k}": v for k, v in base.weights.items()} | {f"slots/{k}": v for k, v in base.slots.items()}
    wrong: dict[str, Any] = {
        "file": 3,
        "source": ["x"],
        "settings": [1, {}],
        "classes": [["a"], {}],
        "vocabulary": [3],
        "versions": 3,
        "threads": "many",
        "includes": [1],
        "sizes": {"H": "x"},
        "origin": "x",
        "engine": ["?"],
        "provider": {},
        "engine_options": {"device": 3},
        "progress": [1],
    }
    for key, value in wrong.items():
        _checkpoint(folder / f"wrong_{key}.safetensors", tensors, {**facts, key: value})
    for key, value in {
        "epoch": "x",
        "step": 1.5,
        "seen": -5,
        "answers": 10**30,
        "loss_sum": None,
        "best_epoch": "a",
    }.items():
        progress = {**facts["progress"], key: value}
        _checkpoint(folder / f"wrong_progress_{key}.safetensors", tensors, {**facts, "progress": progress})
    missing = {key: value for key, value in facts.items() if key != "source"}
    _checkpoint(folder / "wrong_without_source.safetensors", tensors, missing)
    _checkpoint(folder / "wrong_surrogate.safetensors", tensors, {**facts, "file": "\ud800.cnn"})
    other = {
        "int64": {name: array.astype(np.int64) for name, array in tensors.items()},
        "flat": {name: array.reshape(-1) for name, array in tensors.items()},
        "foreign": {"other/x": np.zeros(3, np.float32)},
        "none": {},
    }
    for name, arrays in other.items():
        _checkpoint(folder / f"wrong_tensors_{name}.safetensors", arrays, facts)
    good = (folder / "run" / "last.safetensors").read_bytes()
    for name, data in {
        "truncated": good[:-100],
        "longer": good + bytes(10),
        "bit": good[:-5] + b"\x55" + good[-4:],
        "no_header": b"\xff" * 8 + good[8:],
        "long_header": (1 << 40).to_bytes(8, "little") + bytes(100),
        "deep": (4000).to_bytes(8, "little") + b"[" * 4000,
    }.items():
        (folder / f"damaged_{name}.safetensors").write_bytes(data)
    with (folder / "damaged_sparse.safetensors").open("wb") as file:
        file.write(good)
        file.truncate(100 << 30)


def _checkpoint(path: Path, tensors: dict[str, Any], facts: dict[str, Any]) -> None:
    text = json.dumps(facts, sort_keys=True)
    ordered = dict(sorted(tensors.items()))
    metadata = {"cnnc": text, "digest": checkpoints._digest(ordered, text), "format": checkpoints.FORMAT}
    path.write_bytes(b"".join(checkpoints.safetensors_parts(ordered, metadata)))


def _models(folder: Path) -> None:
    np.save(folder / "x.npy", np.ones((1, 2), np.float32))
    np.save(folder / "digits.npy", np.zeros((2, 1, 8, 8), np.float32))
    plain = _model()
    content = plain.SerializeToString()
    files = {
        "plain": content,
        "op_not_utf8": content.replace(b"Relu", b"Re\xff\xfe"),
        "output_nul": content.replace(b"yy", b"y\0"),
        "half": content[: len(content) // 2],
        "tail": content + b"\xff\xff\xff",
        "fields": b"\x08\x01" * 100_000,
        "field_zero": bytes(5000),
        "text": b"no model\n" * 30,
        "two_graphs": content + content,
        "no_version": helper.make_model(plain.graph, ir_version=0).SerializeToString(),
    }
    for name, data in files.items():
        (folder / f"model_{name}.onnx").write_bytes(data)
    _save(folder, "future", helper.make_model(plain.graph, opset_imports=[helper.make_opsetid("", 999)], ir_version=8))
    _save(folder, "future_ir", helper.make_model(plain.graph, ir_version=999))
    _save(folder, "domain", _model(domain="com.example"))
    _save(folder, "operator", _model(op="Fish"))
    _save(folder, "dangling", _model(reads="nowhere"))
    _save(folder, "batch", _model(shape=(2**62, 2)))
    _save(folder, "negative", _model(shape=(-3, 2)))
    _save(folder, "no_nodes", _model(nodes=False))
    _save(folder, "string_input", _model(dtype=TensorProto.STRING))
    _save(folder, "many_axes", _model(shape=(1,) * 300))
    _save(folder, "huge_weight", _model(weights=TensorProto(name="w", dims=[2**40, 2**20], data_type=1)))
    for name, location in {
        "outside": "../outside.bin",
        "absolute": "/etc/passwd",
        "pipe": "pipe",
        "device": "device",
        "link": "link.bin",
        "hard_link": "hard_link.bin",
        "missing": "nowhere.bin",
        "nul": "a\0b",
        "folder": "a_folder",
        "empty": "",
        "sparse": "sparse.npy",
    }.items():
        weights = TensorProto(name="w", dims=[2], data_type=1, data_location=TensorProto.EXTERNAL)
        weights.external_data.add(key="location", value=location)
        _save(folder, f"external_{name}", _model(weights=weights))
    (folder.parent / "outside.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to("../outside.bin")
    os.link(folder.parent / "outside.bin", folder / "hard_link.bin")
    with (folder / "model_sparse_2gb.onnx").open("wb") as file:
        file.truncate(2_000_000_000)


def _model(
    shape: tuple[Any, ...] = ("N", 2),
    op: str = "Relu",
    domain: str = "",
    reads: str = "x",
    nodes: bool = True,
    dtype: int = TensorProto.FLOAT,
    weights: TensorProto | None = None,
    name: str = "g",
) -> onnx.ModelProto:
    node = helper.make_node(op, [reads], ["yy"], domain=domain)
    if weights is not None:
        node = helper.make_node("Add", ["x", "w"], ["yy"])
    graph = helper.make_graph(
        [node] if nodes else [],
        name,
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("yy", dtype, None)],
        [weights] if weights is not None else [],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _save(folder: Path, name: str, model: onnx.ModelProto) -> None:
    (folder / f"model_{name}.onnx").write_bytes(model.SerializeToString())


def _arrays(folder: Path, with_bombs: bool) -> None:
    images, labels = np.ones((8, 1, 8, 8), np.float32), np.arange(8) % 2
    np.savez(folder / "good.npz", x=images, y=labels)
    good = (folder / "good.npz").read_bytes()
    np.savez(folder / "nan.npz", x=np.full_like(images, np.nan), y=labels)
    np.savez(folder / "labels.npz", x=images, y=labels + 2**40)
    np.savez(folder / "negative.npz", x=images, y=labels - 5)
    np.savez(folder / "shape.npz", x=images[:, :, :3], y=labels)
    np.savez(folder / "lengths.npz", x=images, y=labels[:3])
    np.savez(folder / "no_y.npz", x=images)
    np.savez(folder / "texts.npz", x=np.array(["a"] * 8), y=labels)
    np.savez(folder / "empty_arrays.npz", x=images[:0], y=labels[:0])
    np.savez(folder / "objects.npz", x=np.array([{}] * 8, object), y=labels)
    np.save(folder / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(folder / "texts.npy", np.array(["a"]))
    (folder / "cut.npz").write_bytes(good[:-100])
    if with_bombs:
        _bomb(folder / "bomb.npz", (8_000_000, 1, 8, 8))
    header = (
        b"\x93NUMPY\x01\x00v\x00"
        + str({"descr": "<f4", "fortran_order": False, "shape": (2**40, 8)}).encode().ljust(117)
        + b"\n"
    )
    (folder / "header.npy").write_bytes(header + bytes(100))
    (folder / "idx.gz").write_bytes(gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 2**31, 2**31)))
    for name in (
        "nan",
        "labels",
        "negative",
        "shape",
        "lengths",
        "no_y",
        "texts",
        "empty_arrays",
        "objects",
        "cut",
        "bomb",
        "sparse",
        "noise",
        "nothing",
        "pipe",
    ):
        (folder / f"npz_{name}.cnn").write_text(DATA.format(f'npz "{name}.npz"'))


def _bomb(path: Path, shape: tuple[int, ...]) -> None:
    """A .npz of a few MB whose array unfolds to 2 GiB of zeros."""
    size = 4 * int(np.prod(shape))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    labels = io.BytesIO()
    np.save(labels, np.zeros(shape[0], np.uint8))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("y.npy", labels.getvalue())
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            zeros = bytes(1 << 24)
            for start in range(0, size, len(zeros)):
                member.write(zeros[: size - start])


def _tables(folder: Path) -> None:
    numbers = ",".join(["1"] * 8)
    texts = {
        "arabic": f"0,{numbers[:-1]}١\n" * 4,
        "nan": f"0,{numbers[:-1]}nan\n" * 4,
        "inf": f"0,{numbers[:-1]}1e999\n" * 4,
        "short": f"0,{numbers}\n0,1\n" * 3,
        "words": f"0,{numbers[:-1]}x\n" * 4,
        "nul": f"0,{numbers}\n0,\0\n" * 3,
        "latin": "",
        "long": "1," * 9_000_000,
        "hostile": f"{HOSTILE},{numbers}\nb,{numbers}\n" * 6,
    }
    for name, text in texts.items():
        (folder / f"table_{name}.csv").write_text(text)
        network = DATA.replace("1x8x8", "1x8").format(f'series "table_{name}.csv"')
        (folder / f"series_{name}.cnn").write_text(network)
    (folder / "table_latin.csv").write_bytes(b"caf\xe9," + numbers.encode() + b"\n")


def _images(folder: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def png(width: int, height: int, depth: int, colours: int) -> bytes:
        head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
        return (
            b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", head)
            + chunk(b"IDAT", zlib.compress(bytes(1000)))
            + chunk(b"IEND", b"")
        )

    def tiff(width: int, height: int, bits: int, kind: int) -> bytes:
        entries = [
            (256, 4, width),
            (257, 4, height),
            (258, 3, bits),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, 8),
            (277, 3, 1),
            (278, 4, height),
            (279, 4, 100),
            (339, 3, kind),
        ]
        directory = b"".join(struct.pack("<HHII", tag, type_, 1, value) for tag, type_, value in entries)
        return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + directory + bytes(104)

    pictures = {
        "bomb_grey.png": png(60_000, 60_000, 8, 0),
        "bomb_colour.png": png(60_000, 60_000, 8, 2),
        "bomb_alpha.png": png(13_000, 13_000, 8, 6),
        "bomb_16.png": png(13_000, 13_000, 16, 0),
        "bomb_bits.png": png(60_000, 60_000, 1, 0),
        "bomb_float.tif": tiff(13_000, 13_000, 32, 3),
        "bomb_int.tif": tiff(13_000, 13_000, 32, 1),
        "bomb.gif": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0" + struct.pack("<HH", 60_000, 60_000) + b"\0\x02\x02D\x01\0;",
        "bomb.bmp": b"BM" + struct.pack("<IHHIIiiHHIIIIII", 100, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(10),
        "bomb.ppm": b"P6 60000 60000 255 " + bytes(100),
        "cut.png": png(8, 8, 8, 2)[:50],
        "other.png": b"GIF89a" + bytes(5),
        "words.png": b"not an image",
    }  # fmt: skip
    for name, data in pictures.items():
        (folder / name).write_bytes(data)
    for kind in ("cat", "dog"):
        (folder / "pictures" / kind).mkdir(parents=True)
        (folder / "pictures" / kind / "a.png").write_bytes(pictures["bomb_colour.png"])
    os.mkfifo(folder / "pictures" / "dog" / "pipe.png")
    (folder / "images_bombs.cnn").write_text(DATA.format('images "pictures"'))


def _archives(folder: Path) -> None:
    with zipfile.ZipFile(folder / "outside.zip", "w") as archive:
        archive.writestr("../cat/a.png", b"x")
    with tarfile.open(folder / "links.tar", "w") as tar:
        link = tarfile.TarInfo("cat.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for kind, file in {"images": "outside.zip", "shards": "links.tar"}.items():
        (folder / f"{kind}_archive.cnn").write_text(DATA.format(f'{kind} "{file}"'))


def _hostile(folder: Path) -> None:
    """Names with control characters in a model, its metadata, classes, and the name of a file."""
    facts = {"name": HOSTILE, "classes": [HOSTILE, "b"], "outputs": {"yy": {"kind": "classes", "named": True}}}
    model = _model(name=HOSTILE)
    model.producer_name = HOSTILE
    helper.set_model_props(model, {"cnnc.facts": json.dumps(facts), HOSTILE: HOSTILE})
    _save(folder, "hostile", model)
    _save(folder, "hostile_operator", _model(op=HOSTILE))
    named = "\x1b[31mnet\u202e.cnn"
    (folder / named).write_text("input 1x8x8\nconv 3\n")
    (folder / "hostile_path.cnn").write_text(DATA.format('npz "\x1b[31m\u202enowhere.npz"'))
    names = DATA.replace("1x8x8", "1x8").format('npz "classes.npz"')
    (folder / "hostile_names.cnn").write_text(names)
