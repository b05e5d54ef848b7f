"""Pickles that would run something, in each container and under other names, are found; real ones are clean."""

from __future__ import annotations

import gzip
import pickle

import pytest

from proxy_addon.scan.contract import Findings, Limits
from proxy_addon.scan.inspect import inspect
from proxy_addon.scan.sources import Region

from . import made
from .judging import Verdict, judged

JOBLIB = ("joblib.numpy_pickle.NumpyArrayWrapper", "numpy.dtype", "numpy.ndarray", "numpy._core.multiarray.*")


def look(data: bytes, name: str, limits: Limits | None = None) -> Findings:
    return inspect(Region.of(data), name, limits)


def verdict(data: bytes, name: str, allowed: tuple[str, ...] = ()) -> Verdict:
    return judged(look(data, name), allowed)


@pytest.mark.parametrize("family", made.FAMILIES)
def test_every_family_is_found_in_every_container(family):
    for name, data in made.containers(family).items():
        for called in (name, "model.safetensors", "notes.txt"):
            found = verdict(data, called, (*made.TORCH, *JOBLIB))
            assert found.state == "found", (name, called, found)
            assert found.kind == "pickle"
            assert made.told(family) in found.imports
            assert made.told(family) in found.why


@pytest.mark.parametrize("family", made.FAMILIES)
def test_an_allow_list_names_what_it_allows(family):
    assert verdict(made.payload(family), "a.pkl", (made.told(family),)).state == "clean"


def test_a_zip_as_torch_writes_it_is_clean():
    data = made.torch_file(made.state_dict({"layer.weight": 12, "layer.bias": 4}), [b"\0" * 48, b"\0" * 16])
    found = verdict(data, "pytorch_model.bin", made.TORCH)
    assert (found.state, found.kind, found.problems) == ("clean", "pickle", ())
    assert found.imports == ("collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2")
    assert verdict(data, "pytorch_model.bin", made.TORCH[:2]).why == "would import collections.OrderedDict"


def test_the_older_format_of_torch_is_clean_though_numbers_follow_its_pickles():
    data = made.legacy(made.state_dict({"w": 12}), pickle.dumps(print)[:-1] * 3)
    assert verdict(data, "model.pt", made.TORCH).state == "clean"


def test_arrays_of_joblib_are_passed_over_and_those_of_objects_walked():
    benign = made.joblib(b"\x80\x04]" + b".")
    assert verdict(benign, "model.joblib", JOBLIB).state == "clean"
    assert verdict(gzip.compress(benign), "model.joblib.gz", JOBLIB).state == "clean"
    objects = b"\x80\x04" + made.wrapper(1, "O8") + made.payload("os") + b"."
    assert verdict(objects, "model.joblib", JOBLIB).why == "would import os.system"


def test_what_joblib_does_not_read_is_told_for_those_who_are_not_joblib():
    """The bytes of an array are opcodes to a loader that knows of no arrays."""
    hidden = made.payload("os")
    data = b"\x80\x04" + made.wrapper(len(hidden), "u1", aligned=False) + hidden + b"."
    assert "os.system" in verdict(data, "model.joblib", JOBLIB).imports


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x80\x04" + made.wrapper(3, "V8") + bytes(25) + b".", id="type"),
        pytest.param(b"\x80\x04" + made.wrapper(200) + bytes(30) + b".", id="short"),
        pytest.param(
            b"\x80\x04" + made.named("copyreg", "_reconstructor")
            + made.named("joblib.numpy_pickle", "NumpyArrayWrapper") + b"\x85R}b" + bytes(30) + b".",
            id="made otherwise",
        ),
        pytest.param(b"\x80\x04\x95" + b"\xff\x01" + bytes(6) + made.wrapper(3) + bytes(25) + b".", id="in a frame"),
    ],
)  # fmt: skip
def test_an_array_whose_size_is_not_sure_is_unknown(data):
    assert verdict(data, "model.joblib", (*JOBLIB, "copyreg.*")).state == "unknown"


def test_numbers_of_numpy_are_clean_and_no_pickle():
    header = made.npy(b"").replace(b"'|O'", b"'<f8'", 1)
    assert look(header + made.payload("os"), "a.npy") == Findings()
    assert look(header.replace(b"(1,), }  ", b"(1L,), } ", 1), "a.npy") == Findings()
    assert verdict(made.npy(b"no pickle"), "a.npy").state == "unknown"


def test_texts_and_pictures_are_no_pickles():
    for data in (
        b"",
        b".",
        b"copyright (c)\nsomebody\nReserved.",
        b"I am a text.",
        b"(((",
        b"\x89PNG\r\n\x1a\n",
        b"x^2",
    ):
        assert look(data, "README.md") == Findings()
    assert look((640).to_bytes(8, "little") + b"no header", "x.dat") == Findings()
    assert verdict(b"text", "a.pkl").state == "unknown"
