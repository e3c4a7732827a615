// SHA-256 (FIPS 180-4) of bytes that come in parts; browsers offer it for pages from a server only.

const PRIMES = (() => {
  const found = [];
  for (let n = 2; found.length < 64; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
})();
const fraction32 = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
const ROUNDS = PRIMES.map((p) => fraction32(Math.cbrt(p)));
const START = PRIMES.slice(0, 8).map((p) => fraction32(Math.sqrt(p)));

class Sha256 {
  constructor() {
    this.state = Int32Array.from(START);
    this.words = new Int32Array(64);
    this.block = new Uint8Array(64);
    this.length = 0;
  }

  add(bytes) {
    let at = 0;
    while (at < bytes.length) {
      const used = this.length % 64;
      const part = bytes.subarray(at, at + 64 - used);
      this.block.set(part, used);
      this.length += part.length;
      at += part.length;
      if (used + part.length === 64) this.mix();
    }
    return this;
  }

  mix() {
    const { words: w, block } = this;
    const turned = (x, n) => (x >>> n) | (x << (32 - n));
    for (let i = 0; i < 16; i++) w[i] = (block[4 * i] << 24) | (block[4 * i + 1] << 16) | (block[4 * i + 2] << 8) | block[4 * i + 3];
    for (let i = 16; i < 64; i++) {
      const [x, y] = [w[i - 15], w[i - 2]];
      w[i] = w[i - 16] + w[i - 7] + (turned(x, 7) ^ turned(x, 18) ^ (x >>> 3)) + (turned(y, 17) ^ turned(y, 19) ^ (y >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = this.state;
    for (let i = 0; i < 64; i++) {
      const first = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
      const second = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (this.state[i] += word));
  }

  // The digest in hexadecimal digits; nothing can be added afterwards.
  hex() {
    const bits = this.length * 8;
    this.add(new Uint8Array([0x80, ...new Array((119 - (this.length % 64)) % 64).fill(0)]));
    const end = new DataView(new ArrayBuffer(8));
    end.setUint32(0, Math.floor(bits / 2 ** 32));
    end.setUint32(4, bits >>> 0);
    this.add(new Uint8Array(end.buffer));
    return [...this.state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
