"""Complete a software bill of materials by the models, and write a table of licenses from it."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tritonpose_server.models.catalog import OPEN_MODELS, PADDLEX_MODELS, OpenModel

_UNKNOWN = "not stated"
# Published by PaddlePaddle under the license of PaddleX.
_PADDLEX_LICENSE = "Apache-2.0"
_PADDLEX = "https://github.com/PaddlePaddle/PaddleX"
_LONGEST = 60


def main(arguments: Sequence[str]) -> int:
    """Complete ``sbom.cdx.json`` in a directory, and write ``licenses.md`` beside it."""
    (folder,) = map(Path, arguments)
    path = folder / "sbom.cdx.json"
    bill = json.loads(path.read_text("utf-8"))
    bill["components"] = [*bill["components"], *model_components()]
    path.write_text(json.dumps(bill, indent=2) + "\n", "utf-8")
    (folder / "licenses.md").write_text(table(bill["components"]), "utf-8")
    return 0


def model_components() -> list[dict[str, Any]]:
    """Describe the models that the product knows, as components of CycloneDX.

    The open ones have the sums of the files that they are made of. PaddleX's are fetched only where
    a user asks for them, or where its servers can be reached; their sums are in no list of ours.
    """
    return [
        _component(model.name, model.license, model.upstream, _sums(model))
        for model in OPEN_MODELS.values()
    ] + [_component(name, _PADDLEX_LICENSE, _PADDLEX, []) for name in PADDLEX_MODELS]


def table(components: Sequence[Mapping[str, Any]]) -> str:
    """Write a table in Markdown: name, version and license of each component, models last."""
    rows = [
        (component["type"], component["name"], component.get("version", ""), license_of(component))
        for component in components
    ]
    rows.sort(key=lambda row: (row[0] == "machine-learning-model", row[1].lower()))
    lines = [f"| {name} | {version} | {text} |" for _, name, version, text in rows]
    return "\n".join(["| component | version | license |", "|---|---|---|", *lines, ""])


def license_of(component: Mapping[str, Any]) -> str:
    """Return a component's licenses: SPDX identifiers where it has them, else its own names."""
    found: list[str] = []
    texts = [
        entry.get("expression") or entry["license"].get("id") or entry["license"].get("name", "")
        for entry in component.get("licenses", ())
    ]
    for text in texts or _own_words(component["name"]):
        # Some packages have the license's whole text in the place of its name.
        line = text.strip().partition("\n")[0].rpartition(":: ")[2].replace("|", "/")
        if line and line not in found:
            found.append(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...")
    return ", ".join(found) or _UNKNOWN


def _own_words(package: str) -> list[str]:
    """Return what an installed package says of its license beside the standard's ways."""
    try:
        metadata = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return []
    files = [f"file {name}" for name in metadata.get_all("License-File") or ()]
    return [str(metadata["License"])] if metadata["License"] else files


def _component(
    name: str, license_id: str, home: str, hashes: list[dict[str, str]]
) -> dict[str, Any]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{name}",
        "name": name,
        "licenses": [{"license": {"id": license_id}}],
        "externalReferences": [{"type": "website", "url": home}],
        **({"hashes": hashes} if hashes else {}),
    }


def _sums(model: OpenModel) -> list[dict[str, str]]:
    return [
        {"alg": "SHA-256", "content": member.sha256} for member in (model.topology, model.weights)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
