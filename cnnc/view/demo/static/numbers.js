// Numbers that a user gives: pasted or in a file, as text (CSV) or as a NumPy array (.npy).

// { values, shape, isPixels } of text: numbers separated by commas, semicolons, tabs or spaces, one row per line.
function numbersOfText(text) {
  const rows = [];
  for (const line of text.split(/\r?\n/)) {
    if (!line.trim() || /^sep=/i.test(line.trim())) continue;
    const cells = (/[\t;,]/.test(line) ? line.split(/[\t;,]/) : line.trim().split(/\s+/)).map((cell) => cell.trim());
    while (cells.length > 1 && cells[cells.length - 1] === "") cells.pop();
    rows.push(cells.map((cell) => (/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(cell) ? Number(cell) : cell)));
  }
  const isName = (cell) => typeof cell === "string";
  if (rows.length > 1 && rows[0].slice(1).every(isName) && isName(rows[0][0])) rows.shift(); // a header
  for (const row of rows) if (isName(row[0]) && row.length > 1) row.shift(); // a label
  const wrong = rows.flat().find(isName);
  if (wrong !== undefined) throw new Error(`expected numbers, found “${wrong.slice(0, 40)}”`);
  if (!rows.length) throw new Error("expected numbers, found none");
  const width = rows[0].length;
  const even = rows.every((row) => row.length === width);
  return { values: rows.flat(), shape: even ? [rows.length, width] : [rows.flat().length], isPixels: false };
}

const NPY = { f2: "float16", f4: "float32", f8: "float64", u1: "uint8", i1: "int8", u2: "uint16", i2: "int16" };
Object.assign(NPY, { i4: "int32", u4: "uint32", i8: "int64", u8: "uint64", b1: "bool" });

// { values, shape, isPixels } of a .npy file.
function numbersOfNpy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || bytes[0] !== 0x93 || String.fromCharCode(...bytes.slice(1, 6)) !== "NUMPY") {
    throw new Error("this is not a .npy array");
  }
  const long = bytes[6] > 1;
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(bytes.slice(start, start + length));
  const described = /'descr':\s*'([<>|=])(\w\d)'/.exec(header);
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  const dtype = described && NPY[described[2]];
  if (!dtype || /'fortran_order':\s*True/.test(header)) throw new Error("this kind of .npy array cannot be read here");
  const content = bytes.slice(start + length);
  const size = ARRAYS[dtype].BYTES_PER_ELEMENT;
  if (content.length < size * shape.reduce((a, b) => a * b, 1)) throw new Error("the .npy array is cut off");
  if (described[1] === ">") for (let i = 0; i < content.length; i += size) content.subarray(i, i + size).reverse();
  const raw = arrayIn(content, { dtype, shape, offset: 0 });
  const values = dtype === "float16" ? Float32Array.from(raw, halfToNumber) : Array.from(raw, Number);
  return { values, shape, isPixels: dtype === "uint8" };
}

async function numbersOfFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  return bytes[0] === 0x93 ? numbersOfNpy(bytes) : numbersOfText(new TextDecoder().decode(bytes));
}

// Numbers as one example of an input: its shape may lack axes of size 1, or hold several examples, of which the first is taken.
function fitted(found, pattern, legal) {
  const matches = (shape) => shape.length === pattern.length && shape.every((side, i) => typeof pattern[i] === "string" || side === pattern[i]);
  const slim = (shape) => shape.filter((side) => side !== 1);
  const first = found.shape.slice(1);
  const size = (shape) => shape.reduce((a, b) => a * b, 1);
  let shape = null;
  if (matches(found.shape)) shape = found.shape;
  else if (matches(first)) shape = first;
  else if (pattern.every((side) => typeof side === "number")) {
    if (size(found.shape) === size(pattern)) shape = pattern;
    else if (String(slim(first)) === String(slim(pattern))) shape = pattern;
    else if (found.shape.length === 2 && found.shape[1] === size(pattern)) shape = pattern;
  } else if (pattern.filter((side) => typeof side === "string").length === 1) {
    const known = size(pattern.filter((side) => typeof side === "number"));
    const row = found.shape.length > 1 && known === 1 ? found.shape[found.shape.length - 1] : size(found.shape);
    if (row % known === 0) shape = pattern.map((side) => (typeof side === "string" ? row / known : side));
  }
  if (!shape) throw new Error(`found ${shapeText(found.shape)} numbers; the network takes ${shapeText(pattern)}`);
  for (const [axis, side] of shape.entries()) requireLegal(pattern[axis], side, legal);
  return { values: found.values.slice(0, size(shape)), shape, isPixels: found.isPixels };
}

// Sizes of a symbol: from the minimum on, those whose remainder by the period is among the residues; and the extra ones.
function allows(rule, size) {
  if (!rule) return size > 0;
  return size < rule.minimum || !rule.residues.length ? rule.extra.includes(size) : rule.residues.includes(size % rule.period);
}

function closestSize(rule, size) {
  if (allows(rule, size)) return size;
  for (let n = size - 1; n > 0; n--) if (allows(rule, n)) return n;
  const end = Math.max(size, rule.minimum, ...rule.extra) + 2 * rule.period + 1;
  for (let n = size + 1; n <= end; n++) if (allows(rule, n)) return n;
  throw new Error(`there is no legal size near ${size}: ${rule.rule}`);
}

function requireLegal(symbol, size, legal) {
  const rule = typeof symbol === "string" ? legal[symbol] : null;
  if (rule && !allows(rule, size)) throw new Error(`${symbol} = ${size} is not a legal size: ${rule.rule}`);
}
