// PNG files of 8 bits per channel, decoded here: a canvas may change colours, or refuse to give pixels back.

// { width, height, channels, pixels }, pixels interleaved.
async function decodePng(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const packed = [];
  let header = null;
  for (let at = 8; at < bytes.length; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "IHDR") header = { width: view.getUint32(at + 8), height: view.getUint32(at + 12), channels: bytes[at + 17] === 2 ? 3 : 1 };
    if (kind === "IDAT") packed.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(stream).arrayBuffer());
  return { ...header, pixels: unfiltered(lines, header.width * header.channels, header.height, header.channels) };
}

// Rows without the filter byte before each: a row holds differences to the pixel on the left (a), above (b), and above that (c).
function unfiltered(lines, size, height, back) {
  const pixels = new Uint8Array(size * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (size + 1)];
    const from = y * (size + 1) + 1;
    const to = y * size;
    for (let x = 0; x < size; x++) {
      const a = x >= back ? pixels[to + x - back] : 0;
      const b = y ? pixels[to + x - size] : 0;
      const c = x >= back && y ? pixels[to + x - size - back] : 0;
      const guess = filter === 0 ? 0 : filter === 1 ? a : filter === 2 ? b : filter === 3 ? (a + b) >> 1 : paeth(a, b, c);
      pixels[to + x] = lines[from + x] + guess;
    }
  }
  return pixels;
}

function paeth(a, b, c) {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}
