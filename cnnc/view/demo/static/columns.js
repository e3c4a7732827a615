// Columns of examples, as the page holds them: images as one PNG, everything else as an array.
//
//   { dtype, shape: [N, ...], encoding: "png" or "array" } -> { dtype, shape, size, values }

async function decodeColumn(entry, bytes) {
  const size = entry.shape.slice(1).reduce((a, b) => a * b, 1);
  if (entry.encoding === "array") return { ...entry, size, values: arrayIn(bytes, { ...entry, offset: 0 }) };
  const { channels, pixels } = await decodePng(bytes);
  const [count, , height, width] = entry.shape;
  const values = new Uint8Array(pixels.length);
  for (let n = 0; n < count; n++) {
    values.set(planes({ width, height, channels, pixels: pixels.subarray(n * size, (n + 1) * size) }), n * size);
  }
  return { ...entry, size, values };
}

// Rows of a column as the data of a tensor of type `dtype`.
function rowsOf({ values, size }, rows, dtype) {
  const taken = new values.constructor(rows.length * size);
  rows.forEach((row, i) => taken.set(values.subarray(row * size, (row + 1) * size), i * size));
  return inputData(taken, values instanceof Uint8Array, dtype);
}
