"""Makes a thumbnail of each image that an S3 event names.

The same file is the code of a Lambda function behind a bucket and of a function behind a folder: which of them it is, only
`storage` knows. On Lambda the answer is not used; in a pipeline it is a record for each image.
"""

import io
import os
from urllib.parse import unquote_plus

from PIL import Image, ImageOps

import storage

SIZE = int(os.environ.get("SIZE", "160"))


def handler(event, context):
    objects = [record["s3"] for record in event["Records"]]
    # Keys in events are encoded as forms are.
    return [thumbnail(object["bucket"]["name"], unquote_plus(object["object"]["key"])) for object in objects]


def thumbnail(bucket, key):
    with Image.open(io.BytesIO(storage.get(bucket, key))) as image:
        width, height = image.size
        # Cameras turn pictures by a note in the file.
        small = ImageOps.exif_transpose(image)
        small = small.convert("RGBA" if small.has_transparency_data else "RGB")
        small.thumbnail((SIZE, SIZE))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=80)
    name = key + ".webp"
    storage.put(os.environ["THUMBNAILS"], name, out.getvalue())
    print(f"{name}: {width} x {height} to {small.width} x {small.height}")
    return {"image": key, "thumbnail": name, "width": small.width, "height": small.height, "bytes": len(out.getvalue())}
