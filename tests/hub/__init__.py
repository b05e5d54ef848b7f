"""The test hub: Hugging Face and ModelScope on loopback, with a log of what was asked and knobs for what may go wrong.

    with TestHub(standard_repos()) as hub:
        hub.knob(host="*.cdn.hf.co", bandwidth=25e6)
        ...
        assert hub.bodies_of(hub.repo("acme/tiny").file("old.bin").digest) == 1

It is faithful to what real clients need and were recorded to get; where the real hub's behaviour is not known, it does
the plain thing. `HubProcess` runs the same hub apart from the measuring process.
"""

from .content import Memory, OnDisk, Part, Spliced, Synthetic
from .control import HubProcess, RemoteHub
from .log import Record
from .plain import Scripted
from .repo import File, Repo
from .server import TestHub
from .splice import Splice
from .standard import minilm, modelscope_repos, standard_hub, standard_repos

__all__ = [
    "File",
    "HubProcess",
    "Memory",
    "OnDisk",
    "Part",
    "Record",
    "RemoteHub",
    "Repo",
    "Scripted",
    "Splice",
    "Spliced",
    "Synthetic",
    "TestHub",
    "minilm",
    "modelscope_repos",
    "standard_hub",
    "standard_repos",
]
