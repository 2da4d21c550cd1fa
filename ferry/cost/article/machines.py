"""The claims about time and load."""

from __future__ import annotations

from decimal import Decimal

from ferry.catalog import instance_types
from ferry.cost.article.claim import (
    ARTICLE,
    CLOUD_USE,
    HOME_USE,
    BootSeconds,
    Claim,
    Given,
    network_gb_s,
    tflops,
)

SMALL_MODEL = Given("a model of 8 billion parameters in 16 bit", Decimal(16), "GB", "2 bytes a parameter")
FULL_MODEL = Given("DeepSeek-V3/R1 in FP8", Decimal("688.6"), "GB", "its safetensors index")
DETECTION = Given("until a dead node is noticed and replaced", Decimal(120), "s", "assumed: health checks of the group")
RULE_OUT = Given("load above which the article adds instances", Decimal("0.8"), "share", ARTICLE)


def latency() -> Claim:
    """How much faster a request is answered."""
    before, after = Given("before", Decimal(1200), "ms", ARTICLE), Given("after", Decimal(380), "ms", ARTICLE)
    home, small, large = tflops("A100-40GB"), tflops("A10G"), tflops("H100")
    on_small, on_large = (before.value * home.value / other.value for other in (small, large))
    slower = (1 - HOME_USE.value) / (1 - CLOUD_USE.value)
    return Claim(
        says="1.2 s become 380 ms",
        formula="time of a prompt ~ 1 / TFLOPS (compute-bound); time with queueing ~ 1 / (1 - utilisation) (M/M/1)",
        inputs=(before, after, home, small, large, HOME_USE, CLOUD_USE),
        result=f"{on_small:,.0f} ms on the A10G of a g5.xlarge, {on_large:,.0f} ms on an H100; raising use from "
        f"{HOME_USE.value:.0%} to {CLOUD_USE.value:.0%} makes a request take {slower:.1f} x as long",
        value=on_large,
        outcome="comes out under a condition",
        holds_when="the accelerator is replaced by one 3.2 x as fast (A100 by H100), or it was 1.2 s because requests "
        "queued; the way to the region comes on top. Neither model nor prompt length is given, so this rests on ratios",
        false_from=f"on the same accelerator it is false at any rise in use: at {CLOUD_USE.value:.0%} a request takes "
        f"{slower:.1f} x as long as at {HOME_USE.value:.0%}",
    )


def lead_time(boot_seconds: BootSeconds) -> Claim:
    """How long a change takes."""
    instance = instance_types.find("p5.48xlarge")
    link = Given("line to AWS", Decimal(1), "Gbit/s", "assumed")
    copy = FULL_MODEL.value * 8 / link.value / 3600
    boot = Decimal(repr(boot_seconds(float(FULL_MODEL.value) * 1e9, instance))) / 3600
    value = copy + boot
    return Claim(
        says="21 days become 7 days",
        formula="bytes of the model / line + boot of an instance",
        inputs=(
            Given("before", Decimal(21), "days", ARTICLE),
            Given("after", Decimal(7), "days", ARTICLE),
            FULL_MODEL,
            link,
        ),
        result=f"the machines' part on AWS is {value:.1f} h for the largest model; days are people's and suppliers'",
        value=value,
        outcome="cannot be derived",
        holds_when="14 of the 21 days are spent on waiting for hardware; raising a GPU quota takes days, too",
        false_from=f"while the servers have room no hardware has to be waited for: at the article's own "
        f"{HOME_USE.value:.0%} use they have",
    )


def utilization() -> Claim:
    """How well a scaled fleet is used."""
    after_step = RULE_OUT.value * 2 / 4
    room = CLOUD_USE.value / HOME_USE.value
    return Claim(
        says="utilisation rises from 35 % to 82 %",
        formula="mean load of a fleet <= load above which it grows",
        inputs=(HOME_USE, CLOUD_USE, RULE_OUT),
        result=f"at most {RULE_OUT.value:.0%} until the fleet is at its largest: the article's rule adds two instances "
        f"above it, which takes two to four and the load to {after_step:.0%}",
        value=RULE_OUT.value,
        outcome="does not come out",
        holds_when=f"instances are added only well above {CLOUD_USE.value:.0%}, where a request takes "
        f"{1 / (1 - CLOUD_USE.value):.1f} x its service time (M/M/1); or utilisation means nvidia-smi's figure, "
        "which is no load",
        false_from=f"the gain of {room:.2f} x needs a load whose peak is at least that many times its mean; a steady "
        "load gains nothing from scaling",
    )


def recovery(boot_seconds: BootSeconds) -> Claim:
    """How long until a lost server is replaced."""
    before, after = Given("before", Decimal("6.2"), "h", ARTICLE), Given("after", Decimal(15), "min", ARTICLE)
    minutes = {
        name: (DETECTION.value + Decimal(repr(boot_seconds(float(size.value) * 1e9, instance_types.find(name))))) / 60
        for name, size in (("g5.xlarge", SMALL_MODEL), ("p5.48xlarge", FULL_MODEL))
    }
    limit = _largest_model(boot_seconds, float(after.value) * 60 - float(DETECTION.value))
    small, full = minutes["g5.xlarge"], minutes["p5.48xlarge"]
    return Claim(
        says="MTTR falls from 6.2 h to 15 min",
        formula="detection + start + engine image and model to the volume + model to the GPUs + warm-up",
        inputs=(before, after, DETECTION, SMALL_MODEL, FULL_MODEL),
        result=f"{small:.0f} min for {SMALL_MODEL.value} GB on g5.xlarge, {full:.0f} min for {FULL_MODEL.value} GB on "
        "p5.48xlarge",
        value=small,
        outcome="comes out under a condition",
        holds_when=f"the model has up to {limit:.0f} GB, AWS has capacity, and 6.2 h is a repair without a spare "
        f"server; downtime then falls {before.value * 60 / after.value:.0f} x",
        false_from="with n servers at home of which one fails, the others carry the load below (n - 1) / n use: below "
        "50 % with two servers nothing is down for 6.2 h",
    )


def synchronisation() -> Claim:
    """How long gradients take between four nodes."""
    low, high = Given("low", Decimal(12), "ms", ARTICLE), Given("high", Decimal(18), "ms", ARTICLE)
    nodes, gpus = 4, 32
    slow, fast = network_gb_s("p4d.24xlarge"), network_gb_s("p5.48xlarge")
    share = Decimal(2 * (gpus - 1)) / gpus
    megabytes = [time.value * slow.value / share for time in (low, high)]
    on_fast = [time.value * fast.value / share for time in (low, high)]
    eight_billion = SMALL_MODEL.value / slow.value * share * 1000
    return Claim(
        says="a synchronisation over 4 nodes takes 12 to 18 ms",
        formula="2 (n - 1) / n x bytes / bus bandwidth (ring all-reduce; latency comes on top)",
        inputs=(low, high, Given("ranks", Decimal(gpus), "", f"{nodes} nodes of 8"), slow, fast, SMALL_MODEL),
        result=f"{megabytes[0]:,.0f} to {megabytes[1]:,.0f} MB of gradients at {slow.value:.0f} GB/s a node; those of "
        f"{SMALL_MODEL.value / 2:.0f} billion parameters in 16 bit take {eight_billion:,.0f} ms",
        value=eight_billion,
        outcome="comes out under a condition",
        holds_when=f"at most {megabytes[1] / 2:,.0f} million parameters are trained in 16 bit on 400 Gbit/s, "
        f"{on_fast[1] / 2:,.0f} million on 3,200 Gbit/s; ferry assess derives it from the site's own nccl-tests",
        false_from="it does not depend on use, and serving synchronises no gradients: it says nothing about moving it",
    )


def _largest_model(boot_seconds: BootSeconds, seconds: float) -> float:
    """The largest model in GB that an instance with a fast network serves within a time; by bisection."""
    instance = instance_types.find("p5.48xlarge")
    low, high = 0.0, 2000.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if boot_seconds(middle * 1e9, instance) <= seconds else (low, middle)
    return low
