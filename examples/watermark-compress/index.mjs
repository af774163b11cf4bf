// Puts a mark into the corner of PNG images and packs them as small as PNG can: an ordinary handler for Node's runtimes.
//
// The event is S3's notification of new objects, with the object's bytes beside it in `body.value`.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { decode, encode } from "./png.mjs";

// What is done here is done once for each copy, before its first event.
const target = process.env.MARKED;
const mark = decode(await readFile(new URL(process.env.MARK, import.meta.url)));
await mkdir(target, { recursive: true });

export async function handler({ Records: records }) {
  return Promise.all(records.map(marked));
}

async function marked({ s3, body }) {
  // Keys in events are encoded as forms are.
  const name = basename(decodeURIComponent(s3.object.key.replaceAll("+", " ")));
  const before = Buffer.from(body.value, "base64");
  const image = decode(before);
  stamp(image, mark);
  const after = encode(image);
  console.log(`${name}: ${image.width} x ${image.height}, ${before.length} to ${after.length} bytes`);
  // It appears whole, and is the same when it is written a second time.
  const draft = join(target, `.${name}.draft`);
  await writeFile(draft, after);
  await rename(draft, join(target, name));
  return { image: name, before: before.length, after: after.length };
}

/** Lays the mark over the lower right corner, as far as it fits. */
function stamp(image, mark, margin = 4) {
  const [left, top] = [image.width - mark.width - margin, image.height - mark.height - margin];
  for (let y = Math.max(0, -top); y < mark.height; y++) {
    for (let x = Math.max(0, -left); x < mark.width; x++) {
      const from = (y * mark.width + x) * 4;
      const to = ((y + top) * image.width + x + left) * 4;
      const [over, under] = [mark.pixels[from + 3] / 255, image.pixels[to + 3] / 255];
      const alpha = over + under * (1 - over);
      if (alpha === 0) continue;
      for (let c = 0; c < 3; c++) {
        const colour = mark.pixels[from + c] * over + image.pixels[to + c] * under * (1 - over);
        image.pixels[to + c] = Math.round(colour / alpha);
      }
      image.pixels[to + 3] = Math.round(alpha * 255);
    }
  }
}
