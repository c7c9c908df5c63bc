"""Pretrained models: found, checked, loaded under a head, or refused."""
