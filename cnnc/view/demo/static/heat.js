// Heat maps: numbers as colours from blue (negative) over the background (0) to orange (positive), in light and dark.

const darkMode = matchMedia("(prefers-color-scheme: dark)");
let palette = null;

// The colours of 511 shades, from -255 to 255, as [red, green, blue].
function shades(colours) {
  const side = (stops) => Array.from({ length: 256 }, (_, i) => between(stops.map(rgbOf), i / 255));
  return [...side(colours.negative).slice(1).reverse(), ...side(colours.positive)];
}

const rgbOf = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

function between(stops, share) {
  const place = share * (stops.length - 1);
  const first = Math.min(Math.floor(place), stops.length - 2);
  return stops[first].map((low, c) => Math.round(low + (stops[first + 1][c] - low) * (place - first)));
}

function choosePalette(colours) {
  const chosen = darkMode.matches ? colours.dark : colours.light;
  palette = { shades: shades(chosen), mark: chosen.mark };
}

const shadeOf = (value, largest) => (Number.isFinite(value) && largest ? Math.round((Math.max(-1, Math.min(1, value / largest))) * 255) : 0);
const heatColour = (value, largest) => palette.shades[shadeOf(value, largest) + 255];

// The colours of a cell with a number in it: readable on any shade.
function cellStyle(value, largest) {
  const [r, g, b] = heatColour(value, largest);
  const bright = (c) => ((c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = 0.2126 * bright(r) + 0.7152 * bright(g) + 0.0722 * bright(b);
  return `background:rgb(${r},${g},${b});color:${luminance > 0.179 ? "#000" : "#fff"}`;
}

// Paints a tile into image data: its rows and columns of numbers, number (row, column) of which is `at`.
function paintHeat(image, left, top, { rows, columns, tileWidth: width, tileHeight: height }, at, largest) {
  const source = Array.from({ length: width }, (_, x) => Math.min(columns - 1, Math.floor(((x + 0.5) * columns) / width)));
  for (let y = 0; y < height; y++) {
    const row = Math.min(rows - 1, Math.floor(((y + 0.5) * rows) / height));
    let i = 4 * ((top + y) * image.width + left);
    for (let x = 0; x < width; x++) {
      const [r, g, b] = heatColour(at(row, source[x]), largest);
      image.data[i++] = r;
      image.data[i++] = g;
      image.data[i++] = b;
      image.data[i++] = 255;
    }
  }
}

function largestOf(numbers) {
  let largest = 0;
  for (const value of numbers) if (Number.isFinite(value) && Math.abs(value) > largest) largest = Math.abs(value);
  return largest;
}

function rangeOf(numbers) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of numbers) {
    if (value < low && value !== -Infinity) low = value;
    if (value > high && value !== Infinity) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}
