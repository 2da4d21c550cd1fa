"""Ferry moves LLM inference from a server room to AWS and leaves training at home."""

__version__ = "0.1.0"
