"""What takes more than one request, or no well-formed one: links, native Xet, hostile bytes; real clients."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from proxy_addon.xorb import codings
from proxy_addon.xorb.frames import Frames
from tests.clients.run import environment, python_of

from .actions import spoken
from .crowd import Client, Manner
from .judge import Want
from .keeper import Keeper
from .ledger import Ledger
from .wire import Connection, Cut, Hung, Refused
from .world import HF, KEPT, OWNER, WIDE, World

CAS = "https://cas-server.xethub.hf.co"
BATCH = (("Accept", "application/vnd.git-lfs+json"), ("Content-Type", "application/vnd.git-lfs+json"))


def _any(body: bytes, since: float, until: float) -> str | None:
    json.loads(body)
    return None


async def links(client: Client) -> None:
    """git-lfs: a batch, and the object by the link that it brings; of a closed repo with the right token too."""
    name = client.rnd.choice(("wide", "wide", "private"))
    path = "secret.bin" if name == "private" else client.rnd.choice([path for path in WIDE if path.endswith(".bin")])
    file = client.world.file(name, path)
    own = (client.world.good["huggingface"].header,) if name == "private" else ()
    asked = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": file.sha256, "size": file.size}]}
    url = f"{HF}/{OWNER}/{name}.git/info/lfs/objects/batch"
    batch = Want("git-lfs", url, "POST", (*BATCH, *own), json.dumps(asked).encode(), check=_any)
    got = await client.served(batch)
    with contextlib.suppress(ValueError, KeyError, IndexError):
        href = json.loads(got.text)["objects"][0]["actions"]["download"]["href"]
        version = client.world.version(name, path, "huggingface", client.world.heads(name)[0])
        want = Want("link of git-lfs", href, versions=lambda since, until: [version])
        if client.rnd.random() < 0.3:
            span = (client.rnd.randrange(200_000), None)
            want = replace(want, range=span, headers=(("Range", spoken(span)),))
        await client.served(want, Manner())


async def xet(client: Client) -> None:
    """A file from its xorbs, as hf_xet has it, by the proxy that hands out native Xet."""
    if 1 not in client.keeper.doors():
        return
    path = client.rnd.choice([path for path in WIDE if client.world.file("wide", path).xet])
    file = client.world.file("wide", path)
    token = await client.served(
        Want("Xet token", f"{HF}/api/models/{OWNER}/wide/xet-read-token/main", check=_any), door=1
    )
    with contextlib.suppress(ValueError, KeyError):
        own = (("Authorization", f"Bearer {json.loads(token.text)['accessToken']}"),)
        told = await client.served(
            Want("Xet terms", f"{CAS}/v2/reconstructions/{file.xet}", headers=own, check=_any), door=1
        )
        whole = await _terms(client, json.loads(told.text))
        if whole is not None and whole != client.world.bytes_of(file):
            client.ledger.fault("wrong bytes", f"client {client.number}: {path} rebuilt from its xorbs is another")
        client.ledger.requests["Xet file", "right" if whole is not None else "not whole"] += 1


async def _terms(client: Client, told: dict[str, object]) -> bytes | None:
    """The file, or None if a range did not come."""
    out = bytearray()
    terms, xorbs = told["terms"], told["xorbs"]
    assert isinstance(terms, list) and isinstance(xorbs, dict)
    for term in terms:
        low, high = term["range"]["start"], term["range"]["end"]
        fits = (
            (where["url"], one)
            for where in xorbs[term["hash"]]
            for one in where["ranges"]
            if one["chunks"]["start"] <= low and high <= one["chunks"]["end"]
        )
        url, one = next(fits)
        asked = ("Range", f"bytes={one['bytes']['start']}-{one['bytes']['end']}")
        got = await client.served(Want("xorb range", url, headers=(asked,), check=_chunks), door=1)
        if got.reading is None or not got.verdict.served:
            return None
        chunks, first = Frames().feed(got.text), one["chunks"]["start"]
        out += b"".join(bytes(codings.unpack(chunk)) for chunk in chunks[low - first : high - first])
    return bytes(out)


def _chunks(body: bytes, since: float, until: float) -> str | None:
    return None if Frames().feed(body) else "no chunks"


#: (what, bytes within a tunnel to huggingface.co or, if there is none, to the proxy itself). "smuggled" may not arrive.
SECOND = "GET /smuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n"
GET = "GET /soak/wide/resolve/main/text-0.json HTTP/1.1\r\nHost: huggingface.co\r\n"
INSIDE: dict[str, str] = {
    "two lengths": f"{GET}Content-Length: 5\r\nContent-Length: 6\r\n\r\nGET /smuggled",
    "CL.TE": f"{GET}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}",
    "obs-fold": f"{GET}X: a\r\n b: c\r\n\r\n",
    "another host": "GET /smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "dots": "GET /soak/wide/resolve/main/../../smuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "hidden slash": "GET /soak/wide/resolve/main/..%2f..%2fsmuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "null": "GET /soak/wide/resolve/main/smuggled%00 HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "TRACE": "TRACE /smuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "a whole URL": "GET https://evil.example/smuggled HTTP/1.1\r\nHost: huggingface.co\r\n\r\n",
    "noise": "\x00\x01\x02smuggled\r\n\r\n",
    "long head": f"{GET}X: {'y' * 200_000}\r\n\r\n",
}
OUTSIDE: dict[str, str] = {
    "metadata": "GET http://169.254.169.254/smuggled HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "loopback": "GET http://127.0.0.1:22/smuggled HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n",
    "tunnel to metadata": "CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: 169.254.169.254:80\r\n\r\n",
    "tunnel to loopback": "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "half a head": "GET http://huggingface.co/smug",
}


async def hostile(client: Client) -> None:
    """Bytes that no client should say. An answer is an error, or the connection ends."""
    name = client.rnd.choice([*INSIDE, *OUTSIDE])
    inside = name in INSIDE
    outcome = "closed"
    connection: Connection | None = None
    try:
        context = client.context()
        port = client.keeper.ports[0]
        opened = Connection.open(port, "huggingface.co", context) if inside else Connection.plain(port)
        connection = await opened
        connection.writer.write((INSIDE | OUTSIDE)[name].encode("latin-1"))
        async with asyncio.timeout(5):
            head = await connection.head()
        outcome = f"status {head.status}"
        if head.status < 400:
            client.ledger.fault("smuggled", f"client {client.number}: {name} was answered {head.status}")
    except TimeoutError:
        outcome = "waits"
    except (Refused, Cut, Hung, OSError):
        pass
    except Exception as fault:
        outcome = type(fault).__name__
    finally:
        if connection is not None:
            connection.close()
    client.ledger.requests["hostile", outcome] += 1


OTHERS = (links, links, xet, xet, hostile)

SNAPSHOT = """
import sys
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], revision=sys.argv[2]))
"""


async def tools(keeper: Keeper, world: World, ledger: Ledger, rnd: random.Random, home: Path) -> None:
    """Real clients, one after another, until this is cancelled; they may fail, but not end well with wrong bytes."""
    number = 0
    while True:
        await asyncio.sleep(rnd.uniform(2, 8))
        number += 1
        with tempfile.TemporaryDirectory(dir=home) as folder:
            if rnd.random() < 0.6:
                await _curl(keeper, world, ledger, rnd, Path(folder))
            else:
                await _snapshot(keeper, world, ledger, rnd, Path(folder))


async def _curl(keeper: Keeper, world: World, ledger: Ledger, rnd: random.Random, folder: Path) -> None:
    path = rnd.choice([*WIDE])
    url = f"{HF}/{OWNER}/wide/resolve/main/{path}"
    options = ["--cacert", str(keeper.ca_pem), "--max-time", "60", "--retry", "2", "-C", "-"]
    status = await _run(["curl", "-fsS", *options, "-o", "got", url], keeper, folder)
    got = folder / "got"
    right = got.exists() and got.read_bytes() == world.bytes_of(world.file("wide", path))
    if status == 0 and not right:
        ledger.fault("wrong bytes", f"curl ended well with wrong bytes of {path}")
    ledger.requests["curl", "right" if status == 0 else f"exit {status}"] += 1


async def _snapshot(keeper: Keeper, world: World, ledger: Ledger, rnd: random.Random, folder: Path) -> None:
    name = rnd.choice(("kept", "wide"))
    if not python_of("hub2").exists():
        return
    status = await _run([str(python_of("hub2")), "-c", SNAPSHOT, f"{OWNER}/{name}", "main"], keeper, folder)
    for path in KEPT if name == "kept" else WIDE:
        found = list((folder / "hf").glob(f"hub/models--*/snapshots/*/{path}"))
        right = world.bytes_of(world.file(name, path))
        if status == 0 and (
            not found or hashlib.sha256(found[0].read_bytes()).digest() != hashlib.sha256(right).digest()
        ):
            ledger.fault("wrong bytes", f"snapshot_download ended well with wrong bytes of {name}/{path}")
    ledger.requests["huggingface_hub", "right" if status == 0 else f"exit {status}"] += 1


async def _run(command: Sequence[str], keeper: Keeper, folder: Path) -> int | str:
    variables = environment(proxy_url=f"http://127.0.0.1:{keeper.ports[0]}", ca_bundle=keeper.ca_pem, home=folder)
    process = await asyncio.create_subprocess_exec(
        *command,
        env=variables,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(process.wait(), 90)
    except TimeoutError:
        return "by time"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
