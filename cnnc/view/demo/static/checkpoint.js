// Checkpoints of cnnc: safetensors files with the facts of a run as JSON in their header, and a SHA-256 over all of it.
//
// Arrays are [{ name: "weights/conv1.weight", shape, data }], data a Float32Array or BigInt64Array.

const CHECKPOINT = "cnnc-checkpoint-1";
const KINDS = { F32: ["<f4", Float32Array], F64: ["<f8", Float64Array], I64: ["<i8", BigInt64Array] };
const bytesOf = (data) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
const kindOf = (data) => Object.keys(KINDS).find((kind) => data instanceof KINDS[kind][1]);
const tupleText = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

function digestOf(arrays, text) {
  const digest = new Sha256();
  const encoder = new TextEncoder();
  digest.add(encoder.encode(text));
  for (const { name, shape, data } of sortedByName(arrays)) {
    digest.add(encoder.encode(`${name}|${KINDS[kindOf(data)][0]}|${tupleText(shape)}|`));
    digest.add(bytesOf(data));
  }
  return digest.hex();
}

const sortedByName = (arrays) => [...arrays].sort((a, b) => (a.name < b.name ? -1 : 1));

// The content of a file, in parts.
function writeCheckpoint(facts, arrays) {
  const text = JSON.stringify(facts);
  const header = { __metadata__: { cnnc: text, digest: digestOf(arrays, text), format: CHECKPOINT } };
  let end = 0;
  const sorted = sortedByName(arrays);
  for (const { name, shape, data } of sorted) {
    header[name] = { dtype: kindOf(data), shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const content = new TextEncoder().encode(JSON.stringify(header));
  const padding = new Uint8Array(-content.length & 7).fill(32);
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(content.length + padding.length), true);
  return [new Uint8Array(length.buffer), content, padding, ...sorted.map(({ data }) => bytesOf(data))];
}

// { facts, arrays } of a file. Throws an Error that says what is wrong with it.
function readCheckpoint(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length >= 8 ? Number(view.getBigUint64(0, true)) : Infinity;
  if (length > bytes.length - 8) throw new Error("it is truncated, or not a .safetensors file");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw new Error("its header cannot be read");
  }
  const metadata = header?.__metadata__;
  if (metadata?.format !== CHECKPOINT || typeof metadata.cnnc !== "string") throw new Error("it is not a checkpoint of cnnc");
  const arrays = Object.entries(header).filter(([name]) => name !== "__metadata__").map(([name, entry]) => ({ name, shape: entry.shape, data: arrayAt(bytes, 8 + length, name, entry) }));
  if (digestOf(arrays, metadata.cnnc) !== metadata.digest) throw new Error("it is damaged: its checksum does not match");
  return { facts: finiteJson(metadata.cnnc), arrays };
}

function arrayAt(bytes, start, name, { dtype, shape, data_offsets: offsets }) {
  const kind = Object.hasOwn(KINDS, String(dtype)) ? KINDS[dtype][1] : null;
  const size = Array.isArray(shape) ? shape.reduce((a, b) => a * b, 1) : NaN;
  const [begin, end] = Array.isArray(offsets) ? offsets : [];
  if (!kind || !(begin >= 0) || end - begin !== size * kind.BYTES_PER_ELEMENT || start + end > bytes.length) throw new Error(`its array ${name} cannot be read`);
  return new kind(bytes.slice(start + begin, start + end).buffer);
}

// Python writes infinite numbers in JSON, where there are none.
function finiteJson(text) {
  try {
    return JSON.parse(text.replace(/([:,[]\s*)(-?Infinity|NaN)(?=\s*[,}\]])/g, "$1null"));
  } catch {
    return {};
  }
}
