"""What the verbs of the model repository say, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ferry.models.signature import short

if TYPE_CHECKING:
    from ferry.models.channels import Channel, Seen
    from ferry.models.difference import Difference
    from ferry.models.pruning import Pruned
    from ferry.models.pull import Pulled
    from ferry.models.push import Pushed
    from ferry.models.repository import Version
    from ferry.models.verification import Verification


def amount(count: float) -> str:
    """Bytes as people read them: decimal units, as links and disks are sold by."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def describe_push(done: Pushed) -> str:
    """What was pushed, and what went over the link for it."""
    state = "published" if done.published else "was there already"
    lines = [
        f"{done.name}@{done.version} {state}: {done.files} files, {amount(done.size_bytes)}",
        f"sent {amount(done.sent_bytes)}, copied in the store {amount(done.copied_bytes)}, "
        f"there already {amount(done.kept_bytes)}",
        f"signed with {short(done.signed_with)}, manifest {short(done.manifest_sha256)}",
    ]
    lines += [f"left out: {one}" for one in done.left_out]
    lines += [f"marked as deleted, from an earlier push of other files: {path}" for path in done.removed]
    return "\n".join(lines)


def describe_pull(done: Pulled) -> str:
    """What lies where now."""
    how = (
        "in place already (sizes compared, not hashed again)"
        if done.in_place
        else f"fetched {amount(done.fetched_bytes)}, kept {amount(done.kept_bytes)} that lay here, all verified"
    )
    return (
        f"{done.name}@{done.version} in {done.folder}: {done.files} files, {amount(done.size_bytes)}\n"
        f"{how}\nsigned with {short(done.signed_with)}, manifest {short(done.manifest_sha256)}"
    )


def describe_verification(found: Verification) -> str:
    """Whole or not, by what, and each file that is not."""
    head = f"{found.name}@{found.version}: {found.files} files, {amount(found.size_bytes)}"
    lines = [f"{head}, signed with {short(found.signed_with)}; compared by {found.depth}"]
    lines += [f"{problem.kind:9} {problem.text}" for problem in found.problems]
    lines.append("whole" if found.whole else f"not whole: {len(found.problems)} problems")
    return "\n".join(lines)


def describe_versions(versions: Sequence[Version], channels: Sequence[Seen]) -> str:
    """One line for each version, with the channels that mean it, and one for each channel that cannot be believed."""
    lines = []
    for one in versions:
        label = f"{one.name}@{one.version}"
        if one.manifest is None:
            lines.append(f"{label}  unusable: {one.problem}")
            continue
        manifest = one.manifest.manifest
        meant = [
            f"{seen.channel} #{seen.means.current.sequence}"
            for seen in channels
            if seen.means and (seen.name, seen.means.current.version) == (one.name, one.version)
        ]
        line = (
            f"{label}  {amount(manifest.size)}, {len(manifest.files)} files, {manifest.created_at:%Y-%m-%d %H:%M} UTC, "
            f"pushed by {manifest.pushed_by}, signed with {short(one.manifest.key_id)}"
        )
        lines.append(f"{line}; channels: {', '.join(meant)}" if meant else line)
    lines += [f"{seen.name}:{seen.channel}  unusable: {seen.problem}" for seen in channels if seen.problem]
    return "\n".join(lines) or "no versions"


def describe_channel(channel: Channel) -> str:
    """What a channel means now, and before."""
    now = channel.current
    before = channel.previous
    rollback = f"a rollback returns to {before.version}" if before else "there is nothing to roll back to"
    return (
        f"{channel.model}:{channel.channel} means {now.version} (sequence {now.sequence}, manifest "
        f"{short(now.manifest_sha256)}, by {now.promoted_by}); {rollback}"
    )


def describe_difference(found: Difference) -> str:
    """What is new, in files and bytes."""
    lines = [f"{found.old} → {found.new}: {found.same_files} files ({amount(found.same_bytes)}) are the same"]
    lines += [
        f"{file.change:8} {file.path}: {amount(file.old_bytes)} → {amount(file.size_bytes)}, "
        f"new {amount(file.new_bytes)}"
        for file in found.files
    ]
    lines.append(f"new in all: {amount(found.new_bytes)}")
    return "\n".join(lines)


def describe_pruned(done: Pruned) -> str:
    """What stays and what goes, with the reason."""
    lines = [
        f"{'keep' if one.keep else 'mark'}  {done.name}@{one.version}  {amount(one.size_bytes)}: {one.reason}"
        for one in done.decisions
    ]
    ending = (
        f"{done.marked_objects} delete markers were set; they can be taken off until the bucket's lifecycle deletes"
        if done.marked
        else "nothing was marked"
    )
    return "\n".join([*lines, ending])
