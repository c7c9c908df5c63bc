"""The methods: each describes its noise, none writes it."""
