"""Makes the gRPC code of each .proto beside it, for the wheel and for an editable install alike."""

from importlib import resources
from pathlib import Path
from typing import Any

from grpc_tools import protoc  # type: ignore[import-untyped]
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "tocsin_schemas"
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")


class ProtoBuildHook(BuildHookInterface[Any]):
    """What it makes is no part of the repository, so the build is told of it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Before the files of a wheel are gathered.

        Raises:
            RuntimeError: the compiler refuses a file; it has said why.
        """
        root = Path(self.root)
        known = resources.files("grpc_tools") / "_proto"
        for proto in sorted((root / PACKAGE).rglob("*.proto")):
            name = proto.relative_to(root)
            out = [f"--{kind}_out={root}" for kind in ("python", "pyi", "grpc_python")]
            if protoc.main(["protoc", f"-I{root}", f"-I{known}", *out, str(proto)]) != 0:
                raise RuntimeError(f"{name}: not compiled")
            build_data["artifacts"] += [
                f"/{name.with_name(name.stem + suffix).as_posix()}" for suffix in SUFFIXES
            ]
