"""NVIDIA's driver branches: which are supported, and until when. Which versions are bad says the catalogue."""

from __future__ import annotations

from ferry.artefacts import Finding
from ferry.catalog import known_bad

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


def about_driver(version: str, where: str) -> list[Finding]:
    """What a version of NVIDIA's driver means. Nothing for a supported one, or for what is no version of theirs."""
    numbers = tuple(int(part) for part in version.split("."))
    # Windows counts on within a branch: 591.86 is of R590.
    branch = numbers[0] if numbers[0] in ENDED else numbers[0] // 5 * 5
    judged = known_bad.judge("nvidia-driver", version)
    found = []
    if judged.bad:
        found.append(
            Finding(
                severity="warning",
                code="gpu-driver-known-bad",
                seen=f"driver {version} {judged.says}",
                where=where,
                means="whoever can start a program on this server may take it over, or what is measured on it may stop "
                "for a reason that is not the site's load",
                remedy=f"{judged.remedy}; of the supported branches ({_supported()})",
            )
        )
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
