"""`scripts/demo`: all-MiniLM-L6-v2 by huggingface_hub through hubgate, cold, warm, and with the hub stopped.

Each run is a client in a process of its own that has nothing cached; only the proxy remembers. What the hub sent is
what the hub itself counted. Exit status 1 when a run fails, brings other bytes, or costs the hub what it should not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.clients.run import minilm_folder, run_client
from tests.hub import HubProcess
from tests.processes import Hubgate, configuration

NAME = "sentence-transformers/all-MiniLM-L6-v2"
CLIENT = """
    import hashlib, json, sys, time
    from pathlib import Path
    from huggingface_hub import snapshot_download
    started = time.perf_counter()
    folder = Path(snapshot_download(sys.argv[1]))
    seconds = time.perf_counter() - started
    from safetensors import safe_open
    from transformers import AutoTokenizer
    with safe_open(folder / "model.safetensors", "numpy") as weights:
        shape = weights.get_tensor("embeddings.word_embeddings.weight").shape
    files = [p for p in folder.rglob("*") if p.is_file()]
    print(json.dumps({
        "seconds": seconds,
        "files": len(files),
        "bytes": sum(p.stat().st_size for p in files),
        "sha256": hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        "shape": shape,
        "tokens": AutoTokenizer.from_pretrained(folder)("hello hub").input_ids,
    }))
"""
RIGHT = {"shape": [30522, 384], "tokens": [101, 7592, 9594, 102]}


@dataclass(frozen=True)
class Run:
    name: str
    seconds: float  # of the download alone
    files: int
    size: int  # bytes that the client has at the end
    requests: int  # that the hub saw
    sent: int  # bytes of body that the hub sent
    fault: str | None = None


def run(name: str, hub: HubProcess, proxy: Hubgate, home: Path) -> Run:
    hub.clear()
    try:
        done = run_client("hub2", CLIENT, NAME, proxy_url=proxy.url, ca_bundle=proxy.bundle, home=home, timeout=180)
        error = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    except subprocess.TimeoutExpired as late:
        return Run(name, late.timeout, 0, 0, len(hub.requests()), hub.bytes_sent(), "the client did not end")
    cost = len(hub.requests()), hub.bytes_sent()
    if done.returncode:
        return Run(name, 0.0, 0, 0, *cost, error[0])
    told = json.loads(done.stdout.splitlines()[-1])
    right = told["sha256"] == hub.digest(NAME, "model.safetensors") and told.items() >= RIGHT.items()
    fault = None if right else "the bytes are not the hub's"
    return Run(name, told["seconds"], told["files"], told["bytes"], *cost, fault)


def runs(folder: Path, console: Console) -> list[Run]:
    with HubProcess("--minilm", str(minilm_folder())) as hub, Hubgate(configuration(folder / "proxy", hub)) as proxy:
        console.print(f"hub on 127.0.0.1:{hub.port}, hubgate on 127.0.0.1:{proxy.port}, {NAME}", soft_wrap=True)
        done = []
        for name in ("cold", "warm", "hub down"):
            if name == "hub down":
                hub.stop()
            with console.status(f"{name} ..."):
                done.append(run(name, hub, proxy, folder / name.replace(" ", "-")))
        return done


def show(done: list[Run], console: Console) -> None:
    table = Table(title="each client begins with an empty cache of its own")
    table.add_column("run")
    for heading in ("seconds", "files", "MB here", "hub requests", "hub bytes"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in done:
        time = "failed" if each.fault else f"{each.seconds:.2f}"
        table.add_row(each.name, time, f"{each.files}", f"{each.size / 1e6:.1f}", f"{each.requests}", f"{each.sent:,}")
    console.print(table)
    for each in done:
        if each.fault is not None:
            console.print(f"{each.name}: {each.fault}", markup=False)


def main() -> int:
    console = Console()
    with tempfile.TemporaryDirectory(prefix="hubgate-demo-") as folder:
        done = runs(Path(folder), console)
    show(done, console)
    cold, warm, down = done
    works = "works" if down.fault is None else "fails"
    console.print(f"warm = {warm.sent:,} bytes from the hub, hub-down = {works}", highlight=False)
    good = all(each.fault is None for each in done) and cold.sent > cold.size * 0.99 and warm.sent == down.sent == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
