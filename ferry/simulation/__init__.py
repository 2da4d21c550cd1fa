"""Replays a request trace against a fleet of engines, iteration by iteration."""
