"""Formats that are no pickles: headers are checked, templates and operations named."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_addon.scan.contract import Findings, Limits, as_json, from_json
from proxy_addon.scan.inspect import inspect
from proxy_addon.scan.sources import Region
from proxy_addon.scan.templates import reaches

from . import made
from .judging import judged

CHAT = (
    "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message.content | trim }}"
    "{%- if tools is not none and loop.first %}{{ tools | tojson(indent=4) }}{% endif %}{% endfor %}"
    "Write __init__ and import os like a Python programmer would; call eval(x) {# __class__ #}"
)
EVIL = "{{ ''.__class__.__mro__[1].__subclasses__() }}"


def look(data: bytes, name: str, limits: Limits | None = None) -> Findings:
    return inspect(Region.of(data), name, limits)


def test_a_template_that_talks_of_code_is_safe():
    assert not reaches(CHAT)


@pytest.mark.parametrize(
    "template",
    [
        EVIL,
        "{% set x = cycler.__init__.__globals__ %}",
        "{{ x|attr('y') }}",
        "{{ x | attr(y) }}",
        "{{ x['\\x5f\\x5fclass'] }}",
        "{{ x['\\u005f'] }}",
        "{{ x['_' * 2 ~ 'class'] }}",
        "{{ x['%c' | format(95)] }}",
        "{{ lipsum }}",
        "{{ x.os.popen('id') }}",
        "{{ self._TemplateReference__context }}",
        "{% if x.gi_frame %}{% endif %}",
        "{{ x.__class__",
        "{{ x | map(attribute='y') }}",
        "{% raw %}{{ x }}{% endraw %}{{ x['\\137'] }}",
        "{{ range.mro() }}",
        "{{ x\n.__class__\n}}",
    ],
)
def test_a_template_that_reaches_for_insides_is_unsafe(template):
    assert reaches(CHAT + template)


def gguf(template: str, *, version: int = 3, order: str = "<", more: bytes = b"", keys: int = 3) -> bytes:
    width = "I" if version == 1 else "Q"

    def text(value: str) -> bytes:
        return struct.pack(f"{order}{width}", len(value.encode())) + value.encode()

    array = struct.pack(f"{order}II{width}", 9, 8, 3) + text("a") + text("bb") + text("")
    numbers = text("n") + struct.pack(f"{order}II{width}", 9, 5, 4) + bytes(16)
    metadata = (
        text("tokens")
        + array
        + numbers
        + text("tokenizer.chat_template")
        + struct.pack(f"{order}I", 8)
        + text(template)
    )
    tensor = text("w") + struct.pack(f"{order}I{width}IQ", 1, 4, 0, 0)
    head = b"GGUF" + struct.pack(f"{order}I{width}{width}", version, 1, keys)
    return head + metadata + more + tensor + bytes(32)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_templates_of_gguf(version, order):
    assert look(gguf(CHAT, version=version, order=order), "m.gguf") == Findings("gguf", (), "safe")
    assert look(gguf(EVIL, version=version, order=order), "m.bin") == Findings("gguf", (), "unsafe")


@pytest.mark.parametrize(
    "data",
    [
        gguf(CHAT)[:100],
        gguf(CHAT, version=9),
        gguf(CHAT, keys=2),
        gguf(CHAT, keys=99_999),
        gguf(CHAT)[:24] + b"\xff" * 8,
    ],
)
def test_a_broken_gguf_is_unknown(data):
    assert judged(look(data, "m.gguf")).state == "unknown"


def test_a_template_too_long_to_look_at_is_unknown():
    assert judged(look(gguf(CHAT), "m.gguf", Limits(text=100))).state == "unknown"


def test_templates_of_tokenizers():
    for said in (EVIL, [{"name": "default", "template": CHAT}, {"name": "tool_use", "template": EVIL}], {"a": EVIL}):
        data = json.dumps({"model_max_length": 9, "chat_template": said}).encode()
        for name in ("tokenizer_config.json", "sub/chat_template.json", "other.json", "model.safetensors"):
            assert look(data, name).template == "unsafe"
    assert look(json.dumps({"chat_template": CHAT}).encode(), "tokenizer_config.json") == Findings(
        "template", (), "safe"
    )
    assert look(json.dumps({"chat\\u005ftemplate": EVIL}).replace("\\\\", "\\").encode(), "x.json").template == "unsafe"
    assert look(EVIL.encode(), "chat_template.jinja") == Findings("template", (), "unsafe")
    assert look(CHAT.encode(), "additional_chat_templates/tool.jinja") == Findings("template", (), "safe")
    assert look(b'{"text": "' + b"__class__" + b'"}', "tokenizer_config.json") == Findings()
    assert judged(look(b'{"chat_template": ', "tokenizer_config.json")).state == "unknown"
    deep = b'{"chat_template":' + b"[" * 100_000
    assert judged(look(deep, "tokenizer_config.json")).state == "unknown"


def safetensors(header: object, size: int = 48) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(text)) + text + bytes(size)


F32 = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}


def test_safetensors_that_are_whole_are_clean():
    for header, size in (({"w": F32, "__metadata__": {"format": "pt"}}, 48), ({}, 0)):
        assert look(safetensors(header, size), "model.safetensors") == Findings("safetensors")
    two = {"b": {"dtype": "F16", "shape": [], "data_offsets": [48, 50]}, "w": F32}
    assert look(safetensors(two, 50), "x.bin") == Findings("safetensors")


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"w": F32}, 47),
        ({"w": F32}, 49),
        ({"w": {**F32, "data_offsets": [4, 52]}}, 52),
        ({"w": {**F32, "shape": [3, 5]}}, 48),
        ({"w": {**F32, "dtype": "OBJECT"}}, 48),
        ({"w": {**F32, "shape": [-3, -4]}}, 48),
        ({"w": {**F32, "shape": [1e9]}}, 48),
        ({"w": F32, "v": F32}, 48),
        ({"w": F32, "v": {**F32, "data_offsets": [24, 72]}}, 72),
        ({"w": 1}, 48),
        ({"w": {}}, 48),
        ({"w": F32, "__metadata__": {"a": 1}}, 48),
        (b'{"w": 1, "w": 2}', 0),
        (b'{"w"', 0),
        (b"[]", 0),
        (b'{"a":' * 90_000, 0),
    ],
)
def test_safetensors_that_are_not_are_unknown(header, size):
    assert judged(look(safetensors(header, size), "model.safetensors")).state == "unknown"


def test_headers_of_safetensors_are_bounded():
    assert judged(look(b"\xff" * 8 + b"{}", "model.safetensors")).state == "unknown"
    assert "budget" in look(safetensors({"w": F32}), "model.safetensors", Limits(text=20)).problems[0]


def keras(config: object, name: str = "config.json", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.8.0"}')
        archive.writestr(name, json.dumps(config))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))
    return out.getvalue()


def model(module: str, name: str, **more: object) -> dict[str, object]:
    dense = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2, "activation": "relu"}}
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"layers": [dense, {"module": module, "class_name": name, **more}]},
    }


@pytest.mark.parametrize(
    ("module", "name", "told"),
    [
        ("keras.layers", "Lambda", "keras.layers.Lambda"),
        ("keras.src.layers.core.lambda_layer", "Lambda", "keras.src.layers.core.lambda_layer.Lambda"),
        ("subprocess", "Popen", "subprocess.Popen"),
        ("keras.utils", "get_file", "keras.utils.get_file"),
        ("keras.layers", "TorchModuleWrapper", "keras.layers.TorchModuleWrapper"),
    ],
)
def test_layers_of_keras_that_run_code_are_found(module, name, told):
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for called in ("model.keras", "model.zip"):
            found = look(keras(model(module, name), method=method), called)
            assert (found.kind, found.imports, found.problems) == ("keras", (told,), ())


def test_a_model_of_keras_without_them_is_clean():
    assert look(keras(model("keras.layers", "Conv2D")), "model.keras") == Findings("keras")
    assert judged(look(keras([], "other.json")[:-9], "model.keras")).state == "unknown"
    assert judged(look(b"no zip", "model.keras")).state == "unknown"


def test_layers_in_hdf5():
    head, pad = b"\x89HDF\r\n\x1a\n", bytes((1 << 20) - 20)
    for name, told in (("Lambda", ("keras.layers.Lambda",)), ("Dense", ()), ("\\u004cambda", ("keras.layers.Lambda",))):
        said = f'{{"class_name": "Sequential", "config": [{{"class_name": "{name}"}}]}}'.encode()
        for data in (head + said, head + pad + said, bytes(512) + head + said):
            assert look(data, "model.h5").imports == told
    assert look(head + b'{"class_name": "X", "module": "subprocess"}', "x").imports == ("subprocess.*",)
    assert judged(look(head + b'{"class_name": "X", "\\u0063lass_name": "Lambda"}', "x")).state == "unknown"


def field(number: int, data: bytes) -> bytes:
    size, out = len(data), bytes([number << 3 | 2])
    while size > 127:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size]) + data


def graph(*operations: str) -> bytes:
    nodes = [field(1, field(1, b"node") + field(2, each.encode()) + field(5, bytes(300))) for each in operations]
    return b"".join(nodes)


def saved(graph_def: bytes) -> bytes:
    return b"\x08\x01" + field(2, field(1, b"meta") + field(2, graph_def))


def test_operations_of_saved_models():
    assert look(saved(graph("MatMul", "Relu")), "saved_model.pb") == Findings("savedmodel")
    for bad in ("ReadFile", "WriteFile", "PyFunc", "EagerPyFunc"):
        told = (f"tensorflow.raw_ops.{bad}",)
        function = field(2, field(1, field(3, field(2, bad.encode()))))
        assert look(saved(graph("MatMul", bad)), "a/saved_model.pb") == Findings("savedmodel", told)
        assert look(saved(graph("MatMul") + function), "saved_model.pb") == Findings("savedmodel", told)
        assert look(graph("MatMul", bad), "frozen.pb") == Findings("savedmodel", told)
    assert judged(look(saved(graph("MatMul"))[:-5], "saved_model.pb")).state == "unknown"
    assert judged(look(b"\xff" * 30, "saved_model.pb")).state == "unknown"


SEEDS = {
    "m.gguf": gguf(CHAT),
    "m.safetensors": safetensors({"w": F32}),
    "saved_model.pb": saved(graph("MatMul", "Add")),
    "m.keras": keras(model("keras.layers", "Dense")),
    "tokenizer_config.json": json.dumps({"chat_template": CHAT}).encode(),
    "a.npy": made.npy(made.payload("os")),
    "m.h5": b"\x89HDF\r\n\x1a\n" + b'"class_name": "Lambda"',
}


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=8)), max_size=4),
)
def test_files_with_bytes_changed_never_raise(name, changes):
    data = bytearray(SEEDS[name])
    for at, new in changes:
        at %= len(data)
        data[at : at + len(new)] = new
    assert isinstance(look(bytes(data), name), Findings)


def test_a_name_that_cannot_be_printed_does_not_hide_the_others():
    odd = {"module": "my\ncode\u0085", "class_name": "\ud800"}
    found = look(keras({"config": {"layers": [odd, {"module": "keras.layers", "class_name": "Lambda"}]}}), "m.keras")
    assert "keras.layers.Lambda" in found.imports
    assert from_json(json.loads(json.dumps(as_json(found)))) == found
