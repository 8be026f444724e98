#!/usr/bin/env python3
"""Checkpoints that must be refused: each would run a command, or ask for far more memory than it is large.

    python3 make_hostile.py [DIRECTORY]      (default: hostile beside this file; needs nothing but Python)

test_cli_hostile.sh opens every file that is there, under a limit of memory, and sees that no command ran.
"""
import io
import os
import pathlib
import pickle
import sys
import tarfile
import zipfile

COMMAND = "touch pwned"
MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001


class Command:
    def __reduce__(self):
        return os.system, (COMMAND,)


class Evaluated:
    def __reduce__(self):
        return eval, (f"__import__('os').system({COMMAND!r})",)


def tensor(key, count, size, stride):
    """A pickle of {"w": tensor of `size` elements over a storage of `count`}, without its beginning and end."""
    def text(s):
        return b"X" + len(s).to_bytes(4, "little") + s.encode()

    def integer(i):
        return b"\x8a\x08" + i.to_bytes(8, "little")
    storage = (b"((" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + integer(count) + b"tQ")
    return (text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + integer(0) + b"(" + integer(size) + b"t(" +
            integer(stride) + b"t\x89}tR")


def archive(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as z:
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo("a/" + name), data, compression)


def legacy(obj):
    return (pickle.dumps(MAGIC, 2) + pickle.dumps(VERSION, 2) + pickle.dumps({"little_endian": True}, 2) + obj +
            pickle.dumps(["0"], 2) + (1).to_bytes(8, "little") + bytes(4))


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent / "hostile"
    out.mkdir(exist_ok=True)
    huge = 1 << 40
    for protocol in (2, 4):
        archive(out / f"zip-system-{protocol}.pth", {"data.pkl": pickle.dumps({"state_dict": Command()}, protocol)})
        archive(out / f"zip-eval-{protocol}.pth", {"data.pkl": pickle.dumps([Evaluated()], protocol)})
        (out / f"legacy-system-{protocol}.pth").write_bytes(legacy(pickle.dumps({"net": Command()}, protocol)))
    (out / "bare-pickle.pth").write_bytes(pickle.dumps(Command(), 2))
    archive(out / "magic-pickle.pth", {"data.pkl": pickle.dumps(Command(), 0)})
    with tarfile.open(out / "tar.pth.tar", "w") as t:
        for name, data in {"sys_info": Command(), "pickle": Command(), "storages": 0, "tensors": 0}.items():
            data = pickle.dumps(data, 2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    one = b"\x80\x02}" + tensor("0", 1, huge, 0) + b"s."
    (out / "legacy-expanded.pth").write_bytes(legacy(one))
    archive(out / "zip-expanded.pth", {"data.pkl": one, "data/0": bytes(4)})
    archive(out / "zip-storage-claim.pth", {"data.pkl": b"\x80\x02}" + tensor("0", huge, huge, 1) + b"s.",
                                            "data/0": bytes(4)})
    n = 1 << 24
    sound = b"\x80\x02}" + tensor("0", n, n, 1) + b"s."
    archive(out / "zip-deflated.pth", {"data.pkl": sound, "data/0": bytes(4 * n)}, zipfile.ZIP_DEFLATED)
    archive(out / "zip-deflated-pickle.pth", {"data.pkl": b"\x80\x02" + b"N" * n + b"."}, zipfile.ZIP_DEFLATED)
    data = (out / "zip-expanded.pth").read_bytes()
    at = data.rindex(b"PK\x01\x02")  # the directory says that the last member is larger than the archive
    (out / "zip-directory.pth").write_bytes(data[:at + 20] + b"\xf0\xff\xff\x7f" * 2 + data[at + 28:])
    (out / "safetensors-header.safetensors").write_bytes((huge).to_bytes(8, "little") + b"{}")
    text = b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
    (out / "safetensors-shape.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)


if __name__ == "__main__":
    main()
