"""Makes `import torch` work with the wheel from which launch/setup took LibTorch. The wheel was installed without the 3
GB of CUDA libraries that it names. They are never called on a CPU, so empty libraries replace them."""

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def cache():
    home = os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")
    return Path(os.environ.get("POLYHEAD_CACHE", Path(home) / "polyhead"))


def load():
    """Returns the package torch: the one that Python finds, or the one in the cache."""
    try:
        import torch
        return torch
    except ImportError:
        pass
    found = sorted(cache().glob("libtorch-*/torch/_C.*.so"))
    if not found:
        raise SystemExit(f"no torch for Python: neither installed nor in {cache()}; launch/setup puts it there")
    root = found[-1].parents[1]
    libraries = list((root / "torch" / "lib").glob("libtorch*.so"))

    def read(flag, pattern):
        return {name for file in libraries for name in re.findall(pattern, subprocess.check_output(["readelf", "-W", flag, file], text=True))}

    # Some of their functions are not only called but kept by address, so that the names must be there.
    names = read("--dyn-syms", r"UND ((?:nvshmem|cudnn|cublas|cusparse|cufft|curand|nccl|cuFile|cusolver)\w*)")
    needed = {name for name in read("-d", r"NEEDED.*\[(lib(?:cu|nv|nccl)[^\]]*)\]") if not any(root.glob(f"nvidia/*/lib/{name}"))}
    with tempfile.TemporaryDirectory() as folder:
        def compile(file, code):
            command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", f"-Wl,-soname,{file}", "-o", f"{folder}/{file}"]
            subprocess.run(command, input=code, text=True, check=True)
            ctypes.CDLL(f"{folder}/{file}", ctypes.RTLD_GLOBAL)

        # In a library of their own: the loader refuses a versioned name in a library of the right name without versions.
        compile("names.so", "".join(f'extern "C" void {name}() {{ __builtin_trap(); }}\n' for name in sorted(names)))
        for file in sorted(needed):
            compile(file, "")
        sys.path.append(str(root))
        import torch
    return torch
