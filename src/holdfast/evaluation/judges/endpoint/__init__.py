"""A judge behind any OpenAI-compatible chat endpoint; the only judge that uses the network."""

from holdfast.evaluation.judges.endpoint.judge import EndpointJudge

__all__ = ["EndpointJudge"]
