"""NVIDIA's driver branches: which are supported, until when, and which versions are known to be bad."""

from __future__ import annotations

from dataclasses import dataclass

from ferry.artefacts import Finding

AS_OF = "November 2026"
SOURCE = "https://docs.nvidia.com/datacenter/tesla/drivers/620/supported-drivers-and-cuda-toolkit-versions.html"
SUPPORTED = {580: "June 2028", 595: "March 2027", 620: "September 2029"}
"""Long-term and production branches, and when their support ends (SOURCE, table 2)."""
NEW_FEATURE = {590, 610, 615}
"""Short-lived by design; their support ends with the next branch (the same page)."""
ENDED = {
    418: "March 2022", 440: "November 2020", 450: "July 2023", 460: "January 2022", 535: "June 2026",
}  # fmt: skip
"""When support ended, where a page of NVIDIA says so: NVIDIA_CUDA_Drivers_Support.pdf (March 2021), and for 535
https://docs.nvidia.com/datacenter/tesla/drivers/615/supported-drivers-and-cuda-toolkit-versions.html."""
# CUDA Toolkit release notes, "CUDA Toolkit and Minimum Required Driver Version for CUDA Minor Version Compatibility".
OLDEST_FOR_CUDA = {13: 580, 12: 525, 11: 450}


@dataclass(frozen=True)
class KnownBad:
    """Versions of one branch below `fixed_in` (None: the whole branch), what happens with them, and who says so."""

    branch: int
    fixed_in: tuple[int, ...] | None
    what: str
    source: str


KNOWN_BAD = (
    KnownBad(
        branch=570,
        fixed_in=(570, 133, 20),
        what="with accounting mode on, the kernel module follows a stale pointer and crashes",
        source="https://docs.nvidia.com/datacenter/tesla/tesla-release-notes-570-133-20/index.html, Fixed Issues",
    ),
    KnownBad(
        branch=560,
        fixed_in=None,
        what="NCCL can hang with peer-to-peer transfers; a 570 driver does not",
        source="https://github.com/dmlc/xgboost/issues/11242",
    ),
)


def about_driver(version: str, where: str) -> list[Finding]:
    """What a version of NVIDIA's driver means. Nothing for a supported one, or for what is no version of theirs."""
    numbers = tuple(int(part) for part in version.split("."))
    # Windows counts on within a branch: 591.86 is of R590.
    branch = numbers[0] if numbers[0] in ENDED else numbers[0] // 5 * 5
    found = [
        Finding(
            severity="warning",
            code="gpu-driver-known-bad",
            seen=f"driver {version}: {bad.what}",
            where=where,
            means="what is measured on this server may stop or hang for a reason that is not the site's load",
            remedy=f"install a supported driver ({_supported()}); {bad.source}",
        )
        for bad in KNOWN_BAD
        if numbers[0] == bad.branch and (bad.fixed_in is None or numbers < bad.fixed_in)
    ]
    if branch in SUPPORTED or branch > max(SUPPORTED):
        return found
    if branch in NEW_FEATURE:
        found.append(
            Finding(
                severity="info",
                code="gpu-driver-new-feature-branch",
                seen=f"driver {version} is of the new feature branch R{branch}",
                where=where,
                means="such a branch gets no fixes once the next one is out; measurements on it hold",
                remedy=f"for servers that stay, move to {_supported()} ({SOURCE}, {AS_OF})",
            )
        )
        return found
    cuda = next((major for major, oldest in OLDEST_FOR_CUDA.items() if branch >= oldest), None)
    ended = f"ended in {ENDED[branch]}" if branch in ENDED else f"is not among those that NVIDIA lists in {AS_OF}"
    runs = f"runs programs up to CUDA {cuda}.x" if cuda else "runs nothing newer than CUDA 10"
    found.append(
        Finding(
            severity="warning",
            code="gpu-driver-old",
            seen=f"driver {version}: support of branch R{branch} {ended}",
            where=where,
            means=f"it gets no security fixes and {runs}: an engine that is new enough for the cloud may not start "
            "here, so both sides cannot be compared on one version",
            remedy=f"install {_supported()} before the comparison; {SOURCE}",
        )
    )
    return found


def _supported() -> str:
    return " or ".join(f"R{branch} (until {end})" for branch, end in SUPPORTED.items())
