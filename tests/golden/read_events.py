#!/usr/bin/env python3
"""read_events.py FOLDER OUT.tsv - the recordings of FOLDER by an independent reader in NumPy.

For every file: its path, the number of events, sums over all events of (i + 1) * t, x, y and p modulo 2^61 - 1, which
differ as soon as one event or its place does. test_event_streams compares the C readers with this list.
"""
import os
import struct
import sys

import numpy as np

P = (1 << 61) - 1


def read_bin(data):
    b = np.frombuffer(data, np.uint8).reshape(-1, 5).astype(np.int64)
    t = (b[:, 2] & 127) << 16 | b[:, 3] << 8 | b[:, 4]
    mark = b[:, 1] == 240
    t = t + np.cumsum(mark) * 8192
    keep = ~mark
    return t[keep], b[keep, 0], b[keep, 1], b[keep, 2] >> 7


def lz4_block(src, out):
    i = 0
    while i < len(src):
        token = src[i]
        i += 1
        n = token >> 4
        if n == 15:
            while True:
                n += src[i]
                i += 1
                if src[i - 1] != 255:
                    break
        out += src[i : i + n]
        i += n
        if i >= len(src):
            return
        offset = src[i] | src[i + 1] << 8
        i += 2
        n = token & 15
        if n == 15:
            while True:
                n += src[i]
                i += 1
                if src[i - 1] != 255:
                    break
        for _ in range(n + 4):
            out.append(out[-offset])


def lz4_frame(src):
    assert src[:4] == b"\x04\x22\x4d\x18"
    flags = src[4]
    i = 7 + (8 if flags & 8 else 0) + (4 if flags & 1 else 0)
    out = bytearray()
    while True:
        (n,) = struct.unpack_from("<I", src, i)
        i += 4
        if n == 0:
            return bytes(out)
        block = src[i : i + (n & 0x7FFFFFFF)]
        if n >> 31:
            out += block
        else:
            lz4_block(block, out)
        i += len(block) + (4 if flags & 16 else 0)


def field(buf, number):
    (table,) = struct.unpack_from("<I", buf, 0)
    (back,) = struct.unpack_from("<i", buf, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", buf, vtable)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", buf, vtable + 4 + 2 * number)
    return table + offset if offset else None


def read_aedat4(data):
    assert data.startswith(b"#!AER-DAT4.0\r\n")
    (n,) = struct.unpack_from("<I", data, 14)
    head = data[18 : 18 + n]
    at = field(head, 0)
    compression = struct.unpack_from("<i", head, at)[0] if at else 0
    at = field(head, 1)
    end = struct.unpack_from("<q", head, at)[0] if at else -1
    end = len(data) if end < 0 else end
    at, parts = 18 + n, []
    while at < end:
        _, n = struct.unpack_from("<iI", data, at)
        packet = data[at + 8 : at + 8 + n]
        at += 8 + n
        packet = lz4_frame(packet) if compression else packet
        buf = packet[4:]
        if buf[4:8] != b"EVTS":
            continue
        where = field(buf, 0)
        vector = where + struct.unpack_from("<I", buf, where)[0]
        (count,) = struct.unpack_from("<I", buf, vector)
        kind = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1"), ("pad", "V3")])
        parts.append(np.frombuffer(buf, kind, count, vector + 4))
    e = np.concatenate(parts)
    return e["t"].astype(np.int64), e["x"].astype(np.int64), e["y"].astype(np.int64), e["p"].astype(np.int64)


def main():
    root, rows = sys.argv[1], []
    for folder, _, names in os.walk(root):
        for name in (n for n in names if not n.startswith(".")):
            path = os.path.join(folder, name)
            data = open(path, "rb").read()
            t, x, y, p = read_aedat4(data) if name.endswith(".aedat4") else read_bin(data)
            order = np.argsort(t, kind="stable")
            sums = [sum(int(i + 1) * int(v) for i, v in enumerate(a[order])) % P for a in (t, x, y, p)]
            rows.append("\t".join([os.path.relpath(path, root), str(len(t))] + [str(s) for s in sums]))
    with open(sys.argv[2], "w") as out:
        out.write("\n".join(sorted(rows)) + "\n")


main()
