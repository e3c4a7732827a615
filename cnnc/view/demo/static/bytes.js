// Bytes in the page: blobs in base64 and gzip, and arrays in them.

// The content of a blob; its element is removed, as its text is not needed again.
async function blob(name) {
  const bytes = await decodeData(`blob-${name}`);
  byId(`blob-${name}`).remove();
  return bytes;
}

const ARRAYS = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

// An array at an offset of some bytes: { dtype, shape, offset }.
function arrayIn(bytes, { dtype, shape, offset }) {
  const kind = ARRAYS[dtype];
  const size = shape.reduce((product, side) => product * side, 1);
  const start = bytes.byteOffset + offset;
  return new kind(bytes.buffer.slice(start, start + size * kind.BYTES_PER_ELEMENT));
}

const HALF = new DataView(new ArrayBuffer(4));

function halfToNumber(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

// The nearest float16, ties to even.
function numberToHalf(number) {
  if (Number.isNaN(number)) return 0x7e00;
  HALF.setFloat32(0, number);
  const sign = HALF.getUint8(0) & 0x80 ? 0x8000 : 0;
  const size = Math.abs(number);
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, Math.floor(Math.log2(size || 2 ** -30)));
  const steps = size / 2 ** (exponent - 10);
  const floor = Math.floor(steps);
  const rest = steps - floor;
  const whole = floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
  return sign | (exponent === -14 ? whole : ((exponent + 14) << 10) + whole);
}

// The elements of a tensor of onnxruntime as numbers.
function tensorNumbers(tensor) {
  const data = tensor.data;
  if (tensor.type === "float16" && data instanceof Uint16Array) return Float32Array.from(data, halfToNumber);
  if (tensor.type === "float16") return Float32Array.from(data);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return Float64Array.from(data, Number);
  return data;
}

// Values for an input of this element type; 8-bit pixels are divided by 255 for an input of floats.
function inputData(values, isPixels, dtype) {
  const scaled = isPixels && dtype.startsWith("float") ? Float32Array.from(values, (value) => value / 255) : values;
  if (dtype === "float16") return Uint16Array.from(scaled, numberToHalf);
  if (dtype === "int64") return BigInt64Array.from(scaled, (value) => BigInt(Math.round(Number(value))));
  const kind = ARRAYS[dtype];
  return scaled instanceof kind ? scaled : kind.from(scaled, Number);
}
