"""An OpenAI-compatible engine that generates nothing: what the gateway is rehearsed, tested and measured with.

behaviour   latency and faults, changeable while it runs      answers     what OpenAI's API answers, as bytes
connection  one client's connection, HTTP/1.1                 counts      who asked, how often, what became of it
engine      answers requests as its behaviour says            metrics     vLLM's metrics
door, port  where it listens, or refuses                      control     changes the behaviour, reads the counts
process     the engine as a process, seen from outside

    python -m ferry.rehearsal.stub_engine --port 0 --ttft-ms 20 --tpot-ms 2 --error-rate 0.02
"""

from ferry.rehearsal.stub_engine.behaviour import Behaviour
from ferry.rehearsal.stub_engine.process import StubEngine

__all__ = ["Behaviour", "StubEngine"]
