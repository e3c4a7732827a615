"""What cnnc finds on this machine: its packages, and whether their versions fit what cnnc's metadata asks for.

In: the metadata of the installed distributions. Out: a `PackageState` for each package that cnnc uses.

    package_states()[0]    # PackageState("numpy", "2.4.6", ">=1.26", "")
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

from packaging.requirements import Requirement

EXTRAS = {
    "audio": "recordings",
    "images": "image files",
    "live": "cnnc train --live",
    "lsp": "cnnc lsp",
    "tensorboard": "TensorBoard logs of a run",
    "torch": "cnnc train --engine torch",
}
"""What the extras of the distribution are for; those for developers are not listed."""


class PackageState(NamedTuple):
    """A package: its installed version, "" if there is none, the versions that fit, and the extra that installs it."""

    name: str
    version: str
    needs: str
    extra: str

    @property
    def fits(self) -> bool:
        """Whether the installed version is one of those that cnnc was made for."""
        return bool(self.version) and Requirement(f"{self.name}{self.needs}").specifier.contains(
            self.version, prereleases=True
        )

    @property
    def problem(self) -> str:
        """What is wrong with it; "" if nothing is. A package of an extra may be missing."""
        if self.fits or (self.extra and not self.version):
            return ""
        return f"{self.name} {self.version} does not fit {self.needs}" if self.version else f"{self.name} is missing"


def package_states() -> list[PackageState]:
    """The packages that cnnc needs, then those of its extras."""
    asked = [Requirement(line) for line in requires("cnnc") or []]
    needed = [_state(each, "") for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]
    return [
        *_by_name(needed),
        *_by_name(_state(each, extra) for extra in EXTRAS for each in asked if _is_of(each, extra)),
    ]


def _is_of(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _state(requirement: Requirement, extra: str) -> PackageState:
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        installed = ""
    return PackageState(requirement.name, installed, str(requirement.specifier), extra)


def _by_name(states: Iterable[PackageState]) -> list[PackageState]:
    return sorted(states, key=lambda state: state.name.lower())
