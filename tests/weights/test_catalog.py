# SPDX-License-Identifier: MIT
"""Every public checkpoint of the catalog: its facts agree, it builds here, and a name finds it."""

import dataclasses
import json
import math
import tomllib
import urllib.request
from pathlib import Path

import keras
import pytest

from keras_vit import UserError, ViTConfig, create, vit, zoo
from keras_vit.origins import UNKNOWN
from keras_vit.weights import catalog as module
from keras_vit.weights import download, save
from keras_vit.weights.catalog import catalog, check_named, origin_of, select
from keras_vit.weights.config_files import each_channel
from keras_vit.weights.formats import Spec, open_checkpoint
from keras_vit.weights.infer import Tensors
from keras_vit.weights.inspection import inspect
from keras_vit.weights.registry import dialects, writer_of
from keras_vit.weights.source import open_source

WEB = [name for name in catalog() if catalog()[name].packaged is None]
ROW = {
    *("name", "at", "model", "config", "image_size", "num_classes", "parameters", "top1", "pixels"),
    *("view", "licence", "gated", "sha256", "options", "dialect", "measures", "source"),
}
MEASURES = {"classes", "linear", "linear, ReaL", "k-NN", "zero-shot", "fine-tuned"}


def test_the_file_has_no_other_words():
    with Path(module.__file__).with_suffix(".toml").open("rb") as file:
        content = tomllib.load(file)
    assert set(content) == {"pixels", "views", "licences", "families"}
    for family in content["families"]:
        assert set(family) <= ROW | {"title", "checkpoints"} - {"name", "at"}, family["title"]
        for row in family["checkpoints"]:
            assert set(row) <= ROW, row["name"]
            told = set(family) | set(row)
            assert {"licence", "dialect", "source", "parameters", "num_classes"} <= told, row
            assert not {"top1"} & told or "measures" in told, row
    rows = [row for family in content["families"] for row in family["checkpoints"]]
    assert len(rows) == len(catalog()) >= 60  # no name twice
    assert len({(row["at"], str(row.get("options"))) for row in rows}) == len(rows)


@pytest.mark.parametrize("name", catalog())
def test_its_facts_agree(name):
    entry = catalog()[name]
    assert entry.config.num_parameters == entry.parameters
    assert entry.at.startswith(("hf:", "https://", "package:"))
    assert entry.accuracy is None or 60 < entry.accuracy < 95
    assert entry.measures in MEASURES | {"attentive probe"} or entry.accuracy is None
    assert entry.licence.terms.startswith("https://")
    assert "NC" not in entry.licence.name or "commercial" in entry.licence.restriction
    assert not entry.gated or "ask for access at https://" in entry.origin.restriction
    assert entry.sha256 in entry.at  # PyTorch's convention for the names of published files


def tiny(config: ViTConfig) -> ViTConfig:
    """A model with the same options that takes milliseconds to make."""
    sizes = {"width": 32, "depth": 1, "mlp_dim": 48, "num_heads": 2}
    if config.pool_heads:
        sizes["pool_heads"] = 4
    if config.num_classes:
        sizes["num_classes"] = 5
    if config.representation_size:
        sizes["representation_size"] = 8
    if config.resnet_stages:
        sizes |= {"resnet_stages": (1,) * len(config.resnet_stages), "resnet_width": 32}
    side = 2 * config.patch_size[0] * dataclasses.replace(config, **sizes).stem_stride
    return dataclasses.replace(config, image_size=side, **sizes)


def _one_of_each() -> list[str]:
    """A name for each set of options that the catalog has, but for numbers that change no layer."""
    numbers = ("image_size", "patch_size", "pixel_mean", "pixel_std", "layer_scale", "norm_epsilon")
    found = {}
    for name, entry in catalog().items():
        options = {
            **dataclasses.asdict(tiny(entry.config)),
            "scaled": entry.config.layer_scale is not None,
        }
        found.setdefault(str({k: v for k, v in options.items() if k not in numbers}), name)
    return list(found.values())


@pytest.mark.parametrize("name", _one_of_each())
def test_its_architecture_is_one_of_ours(name):
    config = tiny(catalog()[name].config)
    with keras.StatelessScope():
        model = vit(config)
    assert model.count_params() == config.num_parameters
    assert model.config == config


@pytest.mark.parametrize("name", catalog())
def test_its_dialect_is_read(name):
    assert catalog()[name].dialect in dialects()


@pytest.mark.parametrize("name", [n for n in WEB if not catalog()[n].at.endswith(".npz")])
def test_its_repository_is_what_is_stated(name, tmp_path):
    """Of the tensors the names and shapes, before a hole; of config.json what the hub has."""
    entry, adapter = catalog()[name], writer_of(catalog()[name].dialect)
    write_hole(tmp_path / "model.safetensors", entry)
    if entry.at.startswith("hf:timm/"):
        write_hub_config(tmp_path / "config.json", entry)
    elif entry.at.startswith("hf:"):
        for file, values in adapter.sidecars(entry.config, entry.view).items():
            (tmp_path / file).write_text(json.dumps(values))
    found = inspect(tmp_path / "model.safetensors", **entry.options).config
    expected = entry.config
    if expected.layer_scale is not None and found is not None:  # its first value is told by no file
        expected = dataclasses.replace(expected, layer_scale=found.layer_scale)
    assert found == expected


@pytest.mark.parametrize("name", [n for n in catalog() if catalog()[n].at.endswith(".npz")])
def test_its_archive_is_what_is_stated(name):
    entry, adapter = catalog()[name], writer_of(catalog()[name].dialect)
    bindings = adapter.bind(entry.dialect, entry.config)
    specs = {binding.theirs: Spec(binding.shape, "float32") for binding in bindings}
    assert adapter.config(Tensors(specs, entry.at), entry.options) == entry.config


def write_hole(path: Path, entry) -> None:
    header, offset, config = {}, 0, entry.config
    adapter = writer_of(entry.dialect)
    for binding in adapter.bind(entry.dialect, config):
        end = offset + 4 * math.prod(binding.shape)
        header[adapter.written_name(binding.theirs, config)] = {
            "dtype": "F32",
            "shape": binding.shape,
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(file.tell() + offset)


def write_hub_config(path: Path, entry) -> None:
    config = entry.config
    pretrained = {
        "input_size": [config.channels, *config.image_size],
        "mean": each_channel(config.pixel_mean, config),
        "std": each_channel(config.pixel_std, config),
    }
    name = entry.at.removeprefix("hf:timm/").partition(".")[0]
    path.write_text(json.dumps({"architecture": name, "pretrained_cfg": pretrained}))


@pytest.fixture
def whole_web(serve, monkeypatch):
    """Every address leads to a server on loopback, where each file has the given bytes."""

    def start(files):
        base = serve(files=files)

        class Redirecting:
            def open(self, request, timeout):
                path = request.full_url.partition("://")[2].partition("/")[2]
                there = urllib.request.Request(f"{base}/{path}", headers=dict(request.headers))
                return urllib.request.build_opener().open(there, timeout=timeout)

        monkeypatch.setattr(download, "web_alone", Redirecting)
        monkeypatch.delenv("HF_ENDPOINT", raising=False)

    return start


def path_of(entry) -> str:
    if entry.at.startswith("hf:"):
        return f"/{entry.at.removeprefix('hf:')}/resolve/main/model.safetensors"
    return "/" + entry.at.partition("://")[2].partition("/")[2]


@pytest.mark.parametrize(
    "names",
    [
        ["S/16-augreg-i21k", "deit-tiny", "dinov2-small", "clip-vit-b16-openai", "dinov3-small"],
        pytest.param(WEB, marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_a_name_finds_its_file(names, whole_web):
    whole_web({path_of(entry): entry.name.encode() for entry in catalog().values()})
    for name in names:
        entry = catalog()[name]
        if entry.sha256:  # of another file than this one
            with pytest.raises(UserError, match=f"has to begin with {entry.sha256}"):
                zoo.locate(name)
            continue
        found, told = zoo.locate(name)
        file = Path(found) / "model.safetensors" if entry.at.startswith("hf:") else Path(found)
        assert file.read_bytes() in [
            e.name.encode() for e in catalog().values() if e.at == entry.at
        ]
        assert told == entry.options


def test_a_model_of_a_name(whole_web, tmp_path):
    """The shortest path: a repository as small as can be in place of the published one."""
    entry = catalog()["dinov2-small"]
    config = dataclasses.replace(entry.config, width=32, depth=1, mlp_dim=48, num_heads=2)
    config = dataclasses.replace(config, image_size=28)
    save(vit(config), tmp_path, "timm")
    folder = path_of(entry).rpartition("/")[0]
    files = {f"{folder}/{p.name}": p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    whole_web(files)
    model = create("dinov2-small", num_classes=3)
    assert model.output.shape == (None, 3)
    assert model.config.pixel_mean == entry.config.pixel_mean


@pytest.mark.parametrize("name", [name for name in catalog() if name not in WEB])
def test_what_comes_with_the_package_is_small_free_and_as_stated(name):
    entry = catalog()[name]
    path, told = zoo.locate(name)  # no web is there
    assert 0 < path.stat().st_size < 3_000_000
    source = open_source(path, **told)
    assert source.config == entry.config
    assert source.origins == (entry.origin,) and entry.licence.name == "MIT"
    assert {spec.dtype for spec in open_checkpoint(path).specs.values()} == {"float16"}


def test_a_slip_of_the_finger():
    with pytest.raises(UserError, match="Did you mean dinov2-small"):
        check_named("dinov2-smal")
    with pytest.raises(UserError, match=r"Did you mean siglip2-base-patch16-224"):
        check_named("siglip2-base-16-224")


def test_some_of_the_catalog():
    small = select(["apache-2.0"], 30e6, "DINO")
    assert list(small) == [
        *("dino-small-patch16", "dino-small-patch8", "dinov2-small", "dinov2-small-registers"),
    ]
    with pytest.raises(UserError, match=r"unknown licence 'apache'\. Did you mean Apache-2.0"):
        select(["apache"])
    with pytest.raises(UserError, match="no weights of the catalog fit"):
        select(max_parameters=10)


@pytest.mark.parametrize(
    "licence, expected",
    [
        ("cc-by-nc-4.0", ("CC-BY-NC-4.0", "no commercial use")),
        ("own-words", ("own-words", "")),
        (["MIT"], (UNKNOWN, "")),
    ],
)
def test_a_licence_that_a_repository_tells(licence, expected, whole_web, tmp_path):
    entry = catalog()["dinov2-small"]
    write_hole(tmp_path / "model.safetensors", entry._replace(fields={"model": "mu/16"}))
    told = {"architecture": "vit_base_patch16_224", "model_args": {"num_heads": 2}}
    told["pretrained_cfg"] = {"input_size": [3, 224, 224], "license": licence}
    files = {
        "/a/b/resolve/main/config.json": json.dumps(told).encode(),
        "/a/b/resolve/main/model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
    }
    whole_web(files)
    (origin,) = zoo.open_weights("hf:a/b").origins
    assert (origin.licence, origin.restriction) == expected
    assert origin.terms.startswith("https://")


def test_where_weights_come_from():
    by_name = origin_of("mae-base")
    assert (by_name.licence, by_name.restriction) == ("CC-BY-NC-4.0", "no commercial use")
    # The same weights by their address.
    assert origin_of("hf:timm/vit_base_patch16_224.mae@main") == by_name
    assert origin_of(catalog()["B/16-i21k"].at).weights == "B/16-i21k"
    unknown = origin_of("hf:somebody/something")
    assert (unknown.licence, unknown.terms) == (
        UNKNOWN,
        "https://huggingface.co/somebody/something",
    )
    assert origin_of("https://host/x.npz?key=secret").weights == "https://host/x.npz"
    assert origin_of("model.safetensors") is None
