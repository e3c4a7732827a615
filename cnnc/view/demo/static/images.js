// Images as pixels, prepared as `cnnc predict` does: Pillow's grey and its antialiased bilinear resize, byte for byte.

// An image: { width, height, channels, pixels } with interleaved bytes.

// A file of an image as RGB, upright, transparent pixels laid over the background, [r, g, b]; without one over white (over
// black where white would hide them).
async function readImage(file, background = null) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  } catch {
    throw new Error(`${file.name || "what was pasted"} cannot be read as an image`);
  }
  return opaque(pixelsOf(bitmap, bitmap.width, bitmap.height), background);
}

// The pixels of a bitmap, canvas or video as RGBA.
function pixelsOf(source, width, height) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, width, height);
  return { width, height, channels: 4, pixels: context.getImageData(0, 0, width, height).data };
}

function opaque({ width, height, pixels }, background = null) {
  const over = (colour) => {
    const rgb = new Uint8Array(width * height * 3);
    for (let i = 0, j = 0; i < pixels.length; i += 4) {
      const alpha = pixels[i + 3];
      for (let c = 0; c < 3; c++) rgb[j++] = alpha === 255 ? pixels[i + c] : Math.round((pixels[i + c] * alpha + colour[c] * (255 - alpha)) / 255);
    }
    return { width, height, channels: 3, pixels: rgb };
  };
  if (background) return over(background);
  const white = over([255, 255, 255]);
  const isPlain = white.pixels.every((value, i) => value === white.pixels[i % 3]);
  if (!isPlain) return white;
  const black = over([0, 0, 0]);
  return black.pixels.some((value) => value) ? black : white;
}

// RGB as grey: ITU-R 601 in 16-bit fixed point.
function grey({ width, height, pixels }) {
  const bytes = new Uint8Array(width * height);
  for (let i = 0, j = 0; j < bytes.length; i += 3) bytes[j++] = (pixels[i] * 19595 + pixels[i + 1] * 38470 + pixels[i + 2] * 7471 + 0x8000) >> 16;
  return { width, height, channels: 1, pixels: bytes };
}

const BITS = 22; // of the fixed-point weights

// The first input pixel and the weights of each output pixel on one axis.
function resizeWeights(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = [];
    for (let i = first; i < end; i++) weights.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) / support)));
    const total = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => Math.trunc(0.5 + (weight / total) * 2 ** BITS)) };
  });
}

function resizeAxis(image, to, vertical) {
  const { width, height, channels, pixels } = image;
  const from = vertical ? height : width;
  if (from === to) return image;
  const result = vertical ? { width, height: to, channels } : { width: to, height, channels };
  result.pixels = new Uint8Array(result.width * result.height * channels);
  const step = vertical ? width * channels : channels;
  resizeWeights(from, to).forEach(({ first, weights }, at) => {
    for (let other = 0; other < (vertical ? width : height); other++) {
      for (let c = 0; c < channels; c++) {
        let source = (vertical ? first * width + other : other * width + first) * channels + c;
        let sum = 2 ** (BITS - 1);
        for (const weight of weights) {
          sum += pixels[source] * weight;
          source += step;
        }
        const value = Math.min(255, Math.floor(sum / 2 ** BITS));
        result.pixels[(vertical ? at * width + other : other * to + at) * channels + c] = value;
      }
    }
  });
  return result;
}

const resized = (image, width, height) => resizeAxis(resizeAxis(image, width, false), height, true);

// Interleaved pixels as planes: (H, W, C) -> (C, H, W).
function planes({ width, height, channels, pixels }) {
  const values = new Uint8Array(pixels.length);
  const size = width * height;
  for (let c = 0; c < channels; c++) for (let i = 0; i < size; i++) values[c * size + i] = pixels[i * channels + c];
  return values;
}

// Draws values (C, H, W) of one or three channels onto a canvas of that size; `low` is black, `high` white.
function drawPlanes(canvas, values, channels, height, width, low, high) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const size = width * height;
  const scale = 255 / (high - low || 1);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = Math.round((values[(channels === 3 ? c : 0) * size + i] - low) * scale);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
