"""load_file and save_file of safetensors files, with the safetensors package or, where it is missing, without."""
import json
import pathlib
import struct

import torch

try:
    from safetensors.torch import load_file, save_file
except ImportError:  # Debian packages PyTorch without it; the format is a length, a JSON header and the bytes
    KINDS = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}

    def load_file(path):
        data = pathlib.Path(path).read_bytes()
        n = struct.unpack("<Q", data[:8])[0]
        head = {k: v for k, v in json.loads(data[8 : 8 + n]).items() if k != "__metadata__"}

        def tensor(v):
            first, last = v["data_offsets"]
            kind = KINDS[v["dtype"]]
            return torch.frombuffer(bytearray(data[8 + n + first : 8 + n + last]), dtype=kind).reshape(v["shape"])

        return {k: tensor(v) for k, v in head.items()}

    def save_file(tensors, path):
        head, body, names = {}, b"", {kind: name for name, kind in KINDS.items()}
        for k, v in tensors.items():
            raw = v.contiguous().numpy().tobytes()
            head[k] = {"dtype": names[v.dtype], "shape": list(v.shape), "data_offsets": [len(body), len(body) + len(raw)]}
            body += raw
        text = json.dumps(head).encode()
        pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def load_metadata(path):
    """The texts that a safetensors file carries."""
    data = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + n])["__metadata__"]
