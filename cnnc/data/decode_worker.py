"""The program of a process that decodes images, on request, into memory that it shares with the main process.

In: a pipe to the main process, and the file of the shared memory. Out: pixels in that memory, and for each image what
`decode_each` says. The process ends when the pipe is closed. See decoders.py.
"""

from __future__ import annotations

import mmap
import sys
from multiprocessing.connection import Connection

from cnnc.data.decoders import DecodeRequest, DecodeSetup, map_images
from cnnc.data.image_decoder import decode_each


def work(pipe_file: int, memory_file: int) -> None:
    """Serves requests until the main process closes the pipe. Takes two inherited file descriptors."""
    with Connection(pipe_file) as pipe:
        try:
            _serve(pipe, memory_file)
        except (EOFError, OSError):  # the main process has closed the pipe
            sys.exit()


def _serve(pipe: Connection, memory_file: int) -> None:
    setup: DecodeSetup = pipe.recv()
    memory: mmap.mmap | None = None
    while True:
        request: DecodeRequest = pipe.recv()
        if memory is None or len(memory) != request.memory_size:
            memory = mmap.mmap(memory_file, request.memory_size)
        pixels = map_images(memory, setup.shape, request.first, len(request.keys))
        try:
            pipe.send(decode_each(pixels, setup.files, request.keys))
        except (EOFError, OSError):
            raise
        except Exception as error:  # reported by the main process
            pipe.send(error)
        del pixels
