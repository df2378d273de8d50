# SPDX-License-Identifier: MIT
"""Repositories of a hub, on loopback: whole, in parts, gated, or with an index that lies."""

import json

import pytest

from keras_vit import UserError
from keras_vit.weights import hub
from keras_vit.weights.hub import fetch_repository
from tests.weights.loopback import Server


def test_a_repository_of_a_hub(serve, monkeypatch):
    prefix = "/owner/name/resolve/main"
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    base = serve(
        files={
            f"{prefix}/config.json": b"{}",
            f"{prefix}/model.safetensors.index.json": json.dumps(index).encode(),
            f"{prefix}/one.safetensors": b"1",
            f"{prefix}/two.safetensors": b"2",
        }
    )
    monkeypatch.setenv("HF_ENDPOINT", base)
    folder = fetch_repository("hf:owner/name")
    names = {p.name for p in folder.iterdir() if not p.name.endswith(".record.json")}
    assert names == {
        "config.json",
        "model.safetensors.index.json",
        "one.safetensors",
        "two.safetensors",
    }
    with pytest.raises(UserError, match="the repository has none of"):
        fetch_repository("hf:owner/other")
    with pytest.raises(UserError, match="expected hf:owner/name"):
        fetch_repository("hf:../../etc")


@pytest.mark.parametrize(
    "home",
    [
        {"a": "../../../x.safetensors"},
        {"a": "model.safetensors.index.json"},
        {"a": ["x"]},
        ["x"],
        {str(i): f"{i}.safetensors" for i in range(1_001)},
    ],
)
def test_an_index_that_names_other_things(serve, monkeypatch, home):
    prefix = "/owner/name/resolve/main"
    index = {"weight_map": home}
    base = serve(files={f"{prefix}/model.safetensors.index.json": json.dumps(index).encode()})
    monkeypatch.setenv("HF_ENDPOINT", base)
    with pytest.raises(UserError, match=r"index\.json: "):
        fetch_repository("hf:owner/name")


def test_a_gated_repository_asks_for_a_token(serve, monkeypatch):
    prefix = "/owner/name/resolve/main"
    base = serve("gated", {f"{prefix[6:]}/model.safetensors": b"1"})
    monkeypatch.setenv("HF_ENDPOINT", base)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match=r"answers 401 .*then set HF_TOKEN to your token"):
        fetch_repository("hf:owner/name")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(
        UserError, match=r"answers 403 .*give HF_TOKEN a token that opens it"
    ) as error:
        fetch_repository("hf:owner/name")
    assert "hf_wrong" not in str(error.value)
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert (fetch_repository("hf:owner/name") / "model.safetensors").read_bytes() == b"1"
    # Files lie on another server, which has no business with the token.
    assert {token for path, token in Server.shown if not path.startswith("/owner/")} == {""}


def test_a_token_is_not_read_on_its_way(monkeypatch):
    asked = []
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    monkeypatch.setenv("HF_TOKEN", "hf_right")

    def fetch(url, folder, token):
        asked.append(token)
        raise UserError("offline")

    monkeypatch.setattr(hub, "fetch", fetch)
    with pytest.raises(UserError, match="offline"):
        fetch_repository("hf:owner/name")
    assert asked == [None]
