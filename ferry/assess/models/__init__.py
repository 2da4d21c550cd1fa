"""A model as a site keeps it: a folder as engines load it, a GGUF file, Ollama's store, or what describes one of them.

`read_model` takes any of these, and single files of them, recognised by their content. One module each: `config` with
`spellings` (config.json and its kin), `attention`, `quantization`, `parameters` with `classic` (counting from
dimensions), `weights` with `safetensors`, `pointers` and `listing` (what is known of the weights), `gguf` with
`gguf_facts`, `ollama`; `facts` puts configuration and weights together.
"""

from ferry.assess.models.facts import model_facts
from ferry.assess.models.read import ModelFolder, read_model
from ferry.assess.models.weights import Weights

__all__ = ["ModelFolder", "Weights", "model_facts", "read_model"]
