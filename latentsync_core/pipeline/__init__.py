"""The stages composed once: plan, segments, encode, generate, composite, report."""
