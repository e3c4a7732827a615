// Indices of tensors and their offsets in memory.

const volume = (sizes) => sizes.reduce((a, b) => a * b, 1);

function offsetOf(index, dims) {
  let offset = 0;
  for (let i = 0; i < dims.length; i++) offset = offset * dims[i] + index[i];
  return offset;
}

function indexOf(offset, dims) {
  const index = new Array(dims.length);
  for (let i = dims.length - 1; i >= 0; i--) {
    index[i] = offset % dims[i];
    offset = Math.floor(offset / dims[i]);
  }
  return index;
}

const at = (tensor, index) => tensor.numbers[offsetOf(index, tensor.dims)];

// All indices of sizes, in the order of memory.
function* indices(sizes) {
  for (let n = 0; n < volume(sizes); n++) yield indexOf(n, sizes);
}
