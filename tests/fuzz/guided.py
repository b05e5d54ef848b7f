"""One target by atheris, guided by what its inputs reach. Ends at the first input for which it does not hold."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["proxy_addon"]), contextlib.redirect_stderr(io.StringIO()):
    from .table import TARGETS


def main(name: str, seconds: str, seed: str, crashes: str, corpus: str) -> None:
    target, folder = TARGETS[name], Path(corpus)
    for number, each in enumerate((*target.seeds, b"")):
        (folder / f"seed-{number}").write_bytes(each)
    words = [f'"{"".join(f"\\x{byte:02x}" for byte in word)}"\n' for word in target.words if 0 < len(word) <= 60]
    dictionary = folder.with_suffix(".dict")
    dictionary.write_text("".join(words))
    how = {
        "max_total_time": seconds, "seed": seed, "artifact_prefix": f"{crashes}/",
        **({"dict": str(dictionary)} if words else {}),
        "max_len": "16384", "timeout": "30", "rss_limit_mb": "4096", "print_final_stats": "1",
    }  # fmt: skip
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in how.items()), corpus], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
