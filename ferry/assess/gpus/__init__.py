"""What the machines say of their GPUs: outputs of nvidia-smi, rocm-smi and amd-smi, recognised by their content.

`parse` reads one file into a `Reading`; `by_machine`, `machine` and `samples_of` put files of one server together;
`about_machines` says what it means. `reading` holds the shapes, one module each a format: `table` (plain nvidia-smi),
`log` and `log_xml` (`-q`, `-q -x`; `log_fields` is what both hold), `listing` (`-L`, `nvlink`, `--version`),
`topology` (`topo -m`), `dmon`, `query` (CSV), `amd` (JSON). `drivers` knows which are supported.
"""

from ferry.assess.gpus.findings import about_machines
from ferry.assess.gpus.machines import GpuSamples, by_machine, machine, samples_of
from ferry.assess.gpus.names import same_model
from ferry.assess.gpus.parse import LARGEST_BYTES, parse
from ferry.assess.gpus.reading import MEASURE, Reading

__all__ = [
    "LARGEST_BYTES",
    "MEASURE",
    "GpuSamples",
    "Reading",
    "about_machines",
    "by_machine",
    "machine",
    "parse",
    "same_model",
    "samples_of",
]
