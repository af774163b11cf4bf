// PNG images with eight bits a channel, to pixels and back, with nothing but Node's zlib.

import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
/** Bytes of a pixel by colour type: grey, RGB, grey and alpha, RGB and alpha. */
const CHANNELS = { 0: 1, 2: 3, 4: 2, 6: 4 };
/** Larger images would not fit into the function's memory. */
const MOST_PIXELS = 16_000_000;

/** Why an image cannot be worked on; its name becomes the error's type. */
class PngError extends Error {
  name = "Png.Unsupported";
}

/** The image: width, height, and four bytes (red, green, blue, alpha) a pixel. */
export function decode(bytes) {
  if (!SIGNATURE.equals(bytes.subarray(0, 8))) throw new PngError("this is no PNG");
  const [header, ...data] = chunks(bytes);
  if (header?.type !== "IHDR" || header.data.length !== 13) throw new PngError("the PNG has no header");
  const [width, height] = [header.data.readUInt32BE(0), header.data.readUInt32BE(4)];
  const [depth, colours, , , interlaced] = header.data.subarray(8);
  const channels = CHANNELS[colours];
  if (depth !== 8 || channels === undefined || interlaced) {
    throw new PngError("only PNGs with eight bits a channel, without palette and not interlaced, can be marked");
  }
  if (width === 0 || height === 0 || width * height > MOST_PIXELS) throw new PngError("the image is too large");
  if (data.some(({ type }) => type === "tRNS")) throw new PngError("a PNG with a transparent colour cannot be marked");
  const packed = Buffer.concat(data.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  const stride = width * channels;
  const lines = inflateSync(packed, { maxOutputLength: (stride + 1) * height });
  if (lines.length !== (stride + 1) * height) throw new PngError("the PNG ends too early");
  return { width, height, pixels: pixels(unfiltered(lines, height, stride, channels), channels) };
}

function chunks(bytes) {
  const found = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 8 + bytes.readUInt32BE(at);
    if (end + 4 > bytes.length) break;
    found.push({ type: bytes.toString("latin1", at + 4, at + 8), data: bytes.subarray(at + 8, end) });
    at = end + 4;
  }
  return found;
}

/** The lines without the filters: each byte is told by its neighbours to the left, above, and left above. */
function unfiltered(lines, height, stride, channels) {
  const out = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = lines[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x < channels ? 0 : out[y * stride + x - channels];
      const above = y === 0 ? 0 : out[(y - 1) * stride + x];
      const corner = x < channels || y === 0 ? 0 : out[(y - 1) * stride + x - channels];
      out[y * stride + x] = lines[y * (stride + 1) + 1 + x] + predicted(filter, left, above, corner);
    }
  }
  return out;
}

function predicted(filter, left, above, corner) {
  switch (filter) {
    case 0: return 0;
    case 1: return left;
    case 2: return above;
    case 3: return (left + above) >> 1;
    case 4: return paeth(left, above, corner);
    default: throw new PngError("the PNG has a filter that there is not");
  }
}

function paeth(left, above, corner) {
  const guess = left + above - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

function pixels(bytes, channels) {
  const out = Buffer.alloc((bytes.length / channels) * 4, 255);
  for (let from = 0, to = 0; from < bytes.length; from += channels, to += 4) {
    const grey = channels < 3;
    for (let c = 0; c < 3; c++) out[to + c] = bytes[from + (grey ? 0 : c)];
    if (channels % 2 === 0) out[to + 3] = bytes[from + channels - 1];
  }
  return out;
}

/** The image as a PNG: without alpha where there is none, each line by the filter that suits it, packed as well as can be. */
export function encode({ width, height, pixels }) {
  let opaque = true;
  for (let at = 3; at < pixels.length && opaque; at += 4) opaque = pixels[at] === 255;
  const channels = opaque ? 3 : 4;
  const stride = width * channels;
  const raw = Buffer.alloc(stride * height);
  for (let from = 0, to = 0; from < pixels.length; from += 4, to += channels) pixels.copy(raw, to, from, from + channels);
  const lines = [];
  for (let y = 0; y < height; y++) lines.push(smallest(raw, y, stride, channels));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, opaque ? 2 : 6], 8);
  const packed = deflateSync(Buffer.concat(lines), { level: 9, memLevel: 9 });
  return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", Buffer.alloc(0))]);
}

/** The line by the filter that leaves the smallest numbers: the rule of thumb of PNG's own specification. */
function smallest(raw, y, stride, channels) {
  let best;
  for (let filter = 0; filter < 5; filter++) {
    const line = Buffer.alloc(stride + 1);
    line[0] = filter;
    let sum = 0;
    for (let x = 0; x < stride; x++) {
      const left = x < channels ? 0 : raw[y * stride + x - channels];
      const above = y === 0 ? 0 : raw[(y - 1) * stride + x];
      const corner = x < channels || y === 0 ? 0 : raw[(y - 1) * stride + x - channels];
      line[x + 1] = raw[y * stride + x] - predicted(filter, left, above, corner);
      sum += Math.min(line[x + 1], 256 - line[x + 1]);
    }
    if (best === undefined || sum < best.sum) best = { sum, line };
  }
  return best.line;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, check]);
}
