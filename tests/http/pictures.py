"""Pictures good and bad. The good ones come from ../shared; the bad ones are made here, byte by byte."""

import os
import struct
import zlib

SHARED = os.path.join(os.path.dirname(__file__), "..", "..", "..", "shared", "data", "faces")


def have_shared():
    return os.path.isdir(SHARED)


def read(name):
    with open(os.path.join(SHARED, name), "rb") as f:
        return f.read()


def lfw(person, number=1):
    return read(f"lfw-view1/{person}/{person}_{number:04d}.jpg")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows=None, depth=8, colour=0):
    """A PNG with that header; rows: the uncompressed scan lines (default: black)."""
    if rows is None:
        rows = b"\0" * ((width + 1) * height)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def jpeg_header(width, height):
    """The beginning of a JPEG that claims this size."""
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + b"\xff\xdb\x00\x43\x00" + b"\x01" * 64 +
            b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00" +
            b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00" + b"\x00" * 100 + b"\xff\xd9")


def webp_header(width, height):
    """An extended WebP that claims this canvas."""
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    vp8x = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(vp8x)) + b"WEBP" + vp8x


def grey(width=320, height=320):
    """A picture without a face."""
    return png(width, height, b"".join(b"\0" + bytes((x * 3 + y) & 0xff for x in range(width)) for y in range(height)))


def bad():
    """name -> (bytes, the error codes that may be answered; None among them: it may also be read, as far as it goes)."""
    broken, format_, large = {"bad_image"}, {"unsupported_image"}, {"too_large"}
    flat = png(64, 64)
    middle = flat.index(b"IDAT") + 20
    out = {
        "a text file": (b"this is not a picture\n" * 20, format_),
        "one byte": (b"\xff", format_ | broken),
        "a GIF": (b"GIF89a\x01\x00\x01\x00\x80\x00\x00" + b"\0" * 30, format_),
        "a PNG signature alone": (b"\x89PNG\r\n\x1a\n", broken),
        "a JPEG's first bytes alone": (b"\xff\xd8\xff\xe0", broken),
        "a truncated PNG": (flat[:len(flat) // 2], broken),
        "a PNG with a flipped byte": (flat[:middle] + bytes([flat[middle] ^ 0xff]) + flat[middle + 1:], broken),
        "a 30,000 x 30,000 JPEG header": (jpeg_header(30000, 30000), large),
        "a 30,000 x 30,000 PNG header": (png(30000, 30000, b"\0" * 100), large),
        "a 16,383 x 16,383 WebP header": (webp_header(16383, 16383), large | broken),
        "a 0 x 0 PNG": (png(0, 0, b""), broken | large),
        "a PNG zip bomb": (png(100, 100, b"\0" * 200_000_000), broken | {None}),
    }
    if have_shared():
        photo = lfw("AJ_Cook")
        out["a JPEG cut at 60 %"] = (photo[:len(photo) * 6 // 10], broken)
        out["a JPEG cut at 99 %"] = (photo[:len(photo) - len(photo) // 100 - 2], broken)
        for name, codes in (("corrupted.png", broken | format_), ("empty.png", broken | format_ | {"invalid_request"}),
                            ("truncated.jpg", broken)):
            out[f"bad/{name}"] = (read("bad/" + name), codes)
    return out
